"""Totals: the sum of many steps' reports, of a round or of a whole batch."""

from collections.abc import Iterable

import msgspec

from kalmap.results.report import Counts, Report, StepName
from kalmap.results.tally import Tally
from kalmap.results.work import Work, work_of
from kalmap.store.ports import DatabaseUse

_MOST_NOTES = 10


class Failure(msgspec.Struct, frozen=True):
    """A shard, or a chunk, that was given up, and why."""

    step: StepName
    round: int
    number: int
    error: str


class Totals(Counts, kw_only=True):
    """The sum of many reports."""

    readings: Tally = msgspec.field(default_factory=Tally)
    conflicts: int = 0
    shards: int = 0
    """Shards filtered, in all rounds."""
    first_shards: int = 0
    """Shards filtered in round 0."""
    invocations: int = 0
    gb_seconds: float = 0.0
    """With those of tries that were lost."""
    failures: list[Failure] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    phases: dict[StepName, tuple[float, float]] = msgspec.field(default_factory=dict)
    """First start and last end of each step, in seconds since 1970."""
    user_seconds: list[tuple[float, int]] = msgspec.field(default_factory=list)
    """Of each filtered shard: seconds per user, users."""
    memory: dict[StepName, tuple[float, int]] = msgspec.field(default_factory=dict)
    """Of each step: peak and configured MB."""
    work: list[Work] = msgspec.field(default_factory=list)
    """What each invocation took; in no order."""

    def include(self, other: "Totals") -> None:
        """Add other totals."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, int | float | DatabaseUse):
                setattr(self, name, value + getattr(other, name))
        self.readings.update(other.readings)
        self.user_seconds += other.user_seconds
        self.work += other.work
        self.failures += other.failures
        self.notes = (self.notes + other.notes)[:_MOST_NOTES]
        for step, (start, end) in other.phases.items():
            first, last = self.phases.get(step, (start, end))
            self.phases[step] = min(first, start), max(last, end)
        for step, (peak, configured) in other.memory.items():
            before = self.memory.get(step, (0.0, 0))
            self.memory[step] = max(before[0], peak), max(before[1], configured)


def total(reports: Iterable[Report]) -> Totals:
    """Sum reports."""
    return sum_of(map(_totals_of, reports))


def sum_of(parts: Iterable[Totals]) -> Totals:
    """Sum totals, such as those of several rounds."""
    totals = Totals()
    for part in parts:
        totals.include(part)
    return totals


def _totals_of(report: Report) -> Totals:
    filtered = report.step == "filter"
    first = filtered and report.round == 0
    seconds = report.ended - report.started
    totals = Totals(
        **{name: getattr(report, name) for name in Counts.__struct_fields__},
        readings=Tally(report.readings),
        conflicts=len(report.conflicts),
        shards=int(filtered),
        first_shards=int(first),
        invocations=1,
        gb_seconds=(seconds + report.lost_seconds) * report.configured_mb / 1024,
        notes=report.notes,
        phases={report.step: (report.started, report.ended)},
        memory={report.step: (report.memory_mb, report.configured_mb)},
        work=work_of(report),
    )
    totals.readings.subtract(report.superseded)
    if not first:
        # Other steps and later rounds count the same users again.
        totals.users = totals.new_users = 0
    # A shard that could not be loaded has two reports with an error. Only the second one counts.
    if report.error and report.step != "load":
        totals.failures = [Failure(report.step, report.round, report.number, report.error)]
    if filtered and report.users:
        totals.user_seconds = [(max(0.0, seconds) / report.users, report.users)]
    return totals
