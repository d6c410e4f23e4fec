"""What the performance monitor says about a batch, for the terminal."""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from kalmap.api.progress import progress
from kalmap.api.schemas import Phase
from kalmap.batch.folder import Folder
from kalmap.outcome import Status
from kalmap.plural import counted
from kalmap.results.merge import result_lines
from kalmap.results.performance import bottlenecks, figures, slow_work
from kalmap.results.report import STATES, StepName
from kalmap.results.selection import read_labels
from kalmap.results.totals import Totals, total
from kalmap_cli.file_names import printable
from kalmap_cli.terminal import fit_to_terminal
from kalmap_cli.text_table import aligned

_HEADS = (
    "step", "calls", "seconds", "median", "slowest", "at once", "processor", "request ms", "MB",
)  # fmt: skip
_NOTHING = "Nothing held this batch up."
#: Slow shards that are looked into, and users of each that are named.
_MOST = 3
#: A user is named from so many times the median on. A rejected reading takes as long as so many.
_TIMES, _COST = 10, 10

#: The step that a running batch is in.
_STEPS: dict[Phase, StepName] = {
    "planning": "plan",
    "partitioning": "partition",
    "loading": "load",
    "filtering": "filter",
    "writing": "write",
    "completing": "complete",
}


def print_why_slow(folder: Folder, *, running: bool) -> None:
    """Print what each step of a batch took so far, and what held it up.

    Args:
        folder: The batch's.
        running: Whether it still runs. Then the last sentence says where it is.
    """
    rounds = range(folder.rounds())
    totals = total(report for number in rounds for report in folder.reports(number))
    lines = why_slow(totals, running=running)
    lines += (fit_to_terminal(line, sys.stdout) for line in heavy_users(folder, totals))
    if running:
        lines.append(fit_to_terminal(_where_it_is(folder, totals, time.time()), sys.stdout))
    for line in lines:
        print(line)


def _where_it_is(folder: Folder, totals: Totals, now: float) -> str:
    """Where a running batch is, since when, and where to look if it stays there."""
    at = progress(folder)
    state = STATES[_STEPS[at.phase]]
    part = "chunk" if at.phase == "partitioning" else "shard"
    done = f", with {at.done:,} of {counted(at.total, part)} done" if at.total else ""
    since = max((end for _, end in totals.phases.values()), default=None)
    if since is None:
        return f"It is in {state}{done}. Nothing has told yet what it took."
    clock = datetime.fromtimestamp(since, UTC).strftime("%H:%M:%S")
    return (
        f"It is in {state}{done}. The last step that told what it took ended at {clock} UTC, "
        f"{now - since:,.0f} s ago. If that is long, see 'A batch that stands still' in "
        "docs/operations.md."
    )


def heavy_users(folder: Folder, totals: Totals) -> Iterator[str]:
    """Sentences with the users who made slow shards of FilterUsers slow, from their results."""
    slow = [work for work in slow_work(totals) if work.step == "filter"]
    for work in slow[:_MOST]:
        readings: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        for key in folder.results_keys(work.round, work.number):
            for labels in map(read_labels, result_lines(folder.objects, key)):
                if labels.user_id is not None:
                    readings[labels.user_id] += 1
                    rejected[labels.user_id] += labels.status == Status.REJECTED.label
        cost = {user: count + _COST * rejected[user] for user, count in readings.items()}
        usual = statistics.median(cost.values()) if cost else 0
        heavy = sorted(cost, key=cost.__getitem__, reverse=True)[:_MOST]
        named = [
            f"{printable(user)} ({counted(readings[user], 'reading')}, {rejected[user]:,} rejected)"
            for user in heavy
            if cost[user] > _TIMES * usual
        ]
        if named:
            yield f"In shard {work.number} far more than usual came from {', '.join(named)}."


def why_slow(totals: Totals, *, running: bool = False) -> list[str]:
    """The lines: a table of the steps, and what to change."""
    steps = figures(totals)
    rows = [
        (
            step,
            f"{one.invocations:,}",
            f"{one.wall_seconds:.1f}",
            f"{one.median_seconds:.2f}",
            f"{one.max_seconds:.2f}",
            f"{one.at_once:.1f}",
            f"{one.cpu_share:.0%}",
            "" if one.request_ms is None else f"{one.request_ms:.1f}",
            f"{one.memory_mb:.0f}",
        )
        for step, one in steps.items()
    ]
    if not rows:
        return ["No step of this batch has told what it took."]
    table = aligned([_HEADS, *rows], range(1, len(_HEADS)))
    nothing = "Nothing that is done has held this batch up." if running else _NOTHING
    sentences = bottlenecks(totals, steps) or [nothing]
    return [*table, *(fit_to_terminal(sentence, sys.stdout) for sentence in sentences)]
