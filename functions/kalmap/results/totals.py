"""Totals: the sum of many steps' reports, of a round or of a whole batch."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from kalmap.results.report import Report
from kalmap.store.ports import DatabaseUse

_MOST_NOTES = 10


class Failure(msgspec.Struct, frozen=True):
    """A shard, or a chunk, that was given up, and why."""

    step: str
    round: int
    number: int
    error: str


class Totals(msgspec.Struct, kw_only=True):
    """The sum of many reports."""

    records: int = 0
    readings: dict[str, int] = {}
    """Readings by "status/reason"."""
    users: int = 0
    new_users: int = 0
    failed_users: int = 0
    written: int = 0
    unknown: int = 0
    conflicts: int = 0
    quality_sum: float = 0.0
    quality_count: int = 0
    shards: int = 0
    """Shards filtered, in all rounds."""
    first_shards: int = 0
    """Shards filtered in round 0."""
    failures: list[Failure] = []
    notes: list[str] = []
    database: DatabaseUse = msgspec.field(default_factory=DatabaseUse)
    phases: dict[str, tuple[float, float]] = {}
    """First start and last end of each step."""
    user_seconds: list[tuple[float, int]] = []
    """Of each filtered shard: seconds per user, users."""
    memory: dict[str, tuple[float, int]] = {}
    """Of each step: peak and configured MB."""
    invocations: int = 0
    gb_seconds: float = 0.0
    puts: int = 0
    gets: int = 0

    def include(self, other: "Totals") -> None:
        """Add other totals."""
        for name, number in other.readings.items():
            self.readings[name] = self.readings.get(name, 0) + number
        self.user_seconds += other.user_seconds
        self.failures += other.failures
        self.notes = (self.notes + other.notes)[:_MOST_NOTES]
        self.database += other.database
        for step, (start, end) in other.phases.items():
            first, last = self.phases.get(step, (start, end))
            self.phases[step] = min(first, start), max(last, end)
        for step, (peak, configured) in other.memory.items():
            before = self.memory.get(step, (0.0, 0))
            self.memory[step] = max(before[0], peak), max(before[1], configured)
        for name in (
            "records", "users", "new_users", "failed_users", "written", "unknown", "conflicts",
            "quality_sum", "quality_count", "shards", "first_shards", "invocations", "gb_seconds",
            "puts", "gets",
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + getattr(other, name))


def total(reports: Iterable[Report]) -> Totals:
    """The sum of reports."""
    return sum_of(map(_totals_of, reports))


def sum_of(parts: Iterable[Totals]) -> Totals:
    """The sum of totals, such as those of several rounds."""
    totals = Totals()
    for one in parts:
        totals.include(one)
    return totals


def _totals_of(report: Report) -> Totals:
    filtered = report.step == "filter"
    first = filtered and report.round == 0
    seconds = report.ended - report.started
    readings = Counter(report.readings)
    readings.subtract(report.superseded)
    totals = Totals(
        records=report.records,
        notes=report.notes,
        readings=dict(readings),
        users=report.users if first else 0,
        new_users=report.new_users if first else 0,
        failed_users=report.failed_users,
        written=report.written,
        unknown=report.unknown,
        conflicts=len(report.conflicts),
        quality_sum=report.quality_sum,
        quality_count=report.quality_count,
        shards=int(filtered),
        first_shards=int(first),
        database=report.database,
        phases={report.step: (report.started, report.ended)},
        memory={report.step: (report.memory_mb, report.configured_mb)},
        invocations=1,
        gb_seconds=seconds * report.configured_mb / 1024,
        puts=report.puts,
        gets=report.gets,
    )
    # A shard that could not be loaded says so twice; the filter step's report counts.
    if report.error and report.step != "load":
        totals.failures = [Failure(report.step, report.round, report.shard, report.error)]
    if filtered and report.users:
        totals.user_seconds = [(max(0.0, seconds) / report.users, report.users)]
    return totals
