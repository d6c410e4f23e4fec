"""The tasks of a batch in time, from the reports of its steps, and the path that took longest."""

from bisect import bisect_right
from typing import NamedTuple

from kalmap.batch.folder import Folder
from kalmap.results.report import MAP_STEPS, STATES, Report, StepName

_ORDER = tuple(STATES)
#: Tasks of one step that a drawing has. The longest are drawn.
_MOST_OF_A_STEP = 12


class Task(NamedTuple):
    """A step's work on one shard or chunk, or on the whole batch."""

    step: StepName
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
        number = f" {self.number}" if self.step in MAP_STEPS else ""
        round_ = f", round {self.round}" if self.round else ""
        return f"{STATES[self.step]}{number}{round_}"


class Timeline(NamedTuple):
    """The tasks, in order of their start."""

    tasks: list[Task]
    drawn: list[Task]
    """As many as a drawing can show; of each step, those of the critical path first."""
    at_work: float
    """Seconds of the critical path in which a task worked; the rest was spent between tasks."""


def timeline_of(folder: Folder) -> Timeline:
    """Read the reports of a batch's steps."""
    reports = [report for round_ in range(folder.rounds()) for report in folder.reports(round_)]
    tasks = [_task(report) for report in reports if report.step in STATES and report.started]
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
    critical path has of each step, in each round, the task that ended last. If that began when
    another one of its step had ended, it may have waited for its place: then the latest of these
    is on the path, too, and so on.
    """
    phases: dict[tuple[int, int], list[Task]] = {}
    for task in tasks:
        phases.setdefault((task.round, _ORDER.index(task.step)), []).append(task)
    critical = {task for of_step in phases.values() for task in _chain(of_step)}
    ordered = sorted((task._replace(is_critical=task in critical) for task in tasks), key=_begin)
    drawn: list[Task] = []
    for phase in phases:
        of_step = [t for t in ordered if (t.round, _ORDER.index(t.step)) == phase]
        of_step.sort(key=lambda t: (not t.is_critical, -t.seconds))
        drawn += of_step[:_MOST_OF_A_STEP]
    return Timeline(ordered, sorted(drawn, key=_begin), sum(task.seconds for task in critical))


def _chain(tasks: list[Task]) -> list[Task]:
    """The task of a step that ended last, and before each the one that ended before it began."""
    by_end = sorted(tasks, key=lambda task: task.end)
    ends = [task.end for task in by_end]
    chain = [by_end[-1]]
    # A task without duration would find itself.
    while (earlier := bisect_right(ends, chain[-1].start)) and by_end[earlier - 1] not in chain:
        chain.append(by_end[earlier - 1])
    return chain


def _begin(task: Task) -> tuple[float, int, int]:
    return task.start, _ORDER.index(task.step), task.number
