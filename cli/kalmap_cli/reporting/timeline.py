"""The tasks of a batch in time, from the reports of its steps, and the path that took longest."""

from typing import NamedTuple

from kalmap.batch.folder import Folder
from kalmap.results.report import Report

#: The steps of a round and their states, in the order in which they run.
_STATES = {
    "plan": "PlanBatch",
    "partition": "PartitionMeasurements",
    "plan_shards": "PlanShards",
    "load": "LoadStates",
    "filter": "FilterUsers",
    "aggregate": "AggregateResults",
    "write": "WriteStates",
    "collect": "CollectWrites",
    "complete": "CompleteBatch",
}
STEPS = tuple(_STATES)
#: The steps that work on one chunk or shard.
PARALLEL = ("partition", "load", "filter", "write")
#: Tasks of one step that a drawing has. The longest are drawn.
_MOST_OF_A_STEP = 12


class Task(NamedTuple):
    """A step's work on one shard or chunk, or on the whole batch."""

    step: str
    round: int
    number: int
    start: float
    """Seconds since 1970; `end` too."""
    end: float
    users: int
    error: str | None
    is_critical: bool = False
    """On the critical path: had it been faster, so had the batch."""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.start

    @property
    def name(self) -> str:
        """Its state and shard, such as `FilterUsers 3` or `FilterUsers 3, round 1`."""
        number = f" {self.number}" if self.step in PARALLEL else ""
        round_ = f", round {self.round}" if self.round else ""
        return f"{_STATES[self.step]}{number}{round_}"


class Timeline(NamedTuple):
    """The tasks, in order of their start."""

    tasks: list[Task]
    drawn: list[Task]
    """As many as a drawing can show; with all of the critical path."""
    at_work: float
    """Seconds of the critical path in which a task worked; the rest was spent between tasks."""


def timeline_of(folder: Folder) -> Timeline:
    """Read the reports of a batch's steps."""
    reports = [report for round_ in range(folder.rounds()) for report in folder.reports(round_)]
    tasks = [_task(report) for report in reports if report.step in STEPS and report.started]
    return arrange(tasks)


def _task(report: Report) -> Task:
    return Task(
        report.step,
        report.round,
        report.number,
        report.started,
        max(report.ended, report.started),
        report.users,
        report.error,
    )


def arrange(tasks: list[Task]) -> Timeline:
    """Find the critical path.

    The steps run one after the other, and each waits for all tasks of the one before. So the
    critical path has of each step, in each round, the task that ended last.
    """
    last: dict[tuple[int, int], Task] = {}
    for task in tasks:
        phase = (task.round, STEPS.index(task.step))
        if phase not in last or task.end > last[phase].end:
            last[phase] = task
    critical = set(last.values())
    ordered = sorted((task._replace(is_critical=task in critical) for task in tasks), key=_begin)
    drawn: list[Task] = []
    for phase in last:
        of_step = [t for t in ordered if (t.round, STEPS.index(t.step)) == phase]
        of_step.sort(key=lambda t: (not t.is_critical, -t.seconds))
        drawn += of_step[:_MOST_OF_A_STEP]
    return Timeline(ordered, sorted(drawn, key=_begin), sum(task.seconds for task in critical))


def _begin(task: Task) -> tuple[float, int, int]:
    return task.start, STEPS.index(task.step), task.number
