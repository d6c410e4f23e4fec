"""The parts of a report about tasks: when each ran, which were slowest, and which failed."""

from typing import Any

from kalmap.plural import counted
from kalmap.results.report import MAP_STEPS
from kalmap_cli.reporting.batch_view import BatchView
from kalmap_cli.reporting.charts import KINDS, kind_of, tasks_in_time
from kalmap_cli.reporting.figures import svg
from kalmap_cli.reporting.palette import OF_PAGE
from kalmap_cli.reporting.timeline import Task, Timeline
from kalmap_cli.screen import SHORT_ID

_SLOWEST, _MOST_FAILED = 5, 20


def timeline_section(timeline: Timeline) -> dict[str, Any] | None:
    """The chart of tasks; None if no task has reported."""
    if not timeline.tasks:
        return None
    begin = min(task.start for task in timeline.tasks)
    whole = max(task.end for task in timeline.tasks) - begin
    words = (
        f"{counted(len(timeline.tasks), 'task')} in {whole:.1f} s. Tasks of the critical path, "
        f"which others waited for, worked {timeline.at_work:.1f} s of it. In the rest of the time "
        "functions started, or the state machine went on to the next step."
    )
    if len(timeline.drawn) < len(timeline.tasks):
        words += f" {len(timeline.drawn)} are drawn, of each step the longest."
    kinds = [kind for kind in KINDS if any(kind_of(task) == kind for task in timeline.drawn)]
    return {
        "words": words,
        "chart": svg(tasks_in_time(timeline.drawn, OF_PAGE)),
        "key": [(OF_PAGE.series[KINDS[kind]], kind) for kind in kinds],
    }


def shards_section(view: BatchView, *, anonymise: bool) -> dict[str, Any] | None:
    """The slowest and the failed shards and chunks, and the command that runs them again."""
    tasks = [task for task in view.timeline.tasks if task.step in MAP_STEPS]
    if not tasks:
        return None
    failed = [task for task in tasks if task.error]
    slowest = sorted((t for t in tasks if not t.error), key=lambda task: -task.seconds)[:_SLOWEST]
    words = (
        f"{counted(len(failed), 'task')} failed, with the reasons below."
        if failed
        else "No shard and no chunk failed. These took longest."
    )
    if len(failed) > _MOST_FAILED:
        words += f" {_MOST_FAILED} of them are listed."
    failed_readings = sum(((view.summary.get("readings") or {}).get("failed") or {}).values())
    # A path may have a name in it.
    options = "" if anonymise else view.options
    command = f"kalmap retry {view.record.batch_id[:SHORT_ID]}{options}"
    has_failed = view.record.status in {"FAILED", "STOPPED"}
    return {
        "words": words,
        "command": command if failed_readings or has_failed else "",
        "what": f"This command runs {'the batch' if has_failed else 'what failed'} again:",
        "tasks": [_without_error(task, anonymise) for task in failed[:_MOST_FAILED] + slowest],
    }


def _without_error(task: Task, anonymise: bool) -> Task:
    return task._replace(error="The task failed.") if task.error and anonymise else task
