"""Totals: the sum of many steps' reports, of a round or of a whole batch."""

from collections.abc import Iterable, Mapping

import msgspec

from kalmap.results.report import Report
from kalmap.store.table import DatabaseUse


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

    def add(self, report: Report) -> None:
        """Add a step's report."""
        self.records += report.records
        self._count(report.readings)
        self._count({name: -number for name, number in report.superseded.items()})
        if report.step == "filter":
            self.shards += 1
            if report.round == 0:
                self.first_shards += 1
                self.users += report.users
                self.new_users += report.new_users
            if report.users:
                seconds = max(0.0, report.ended - report.started)
                self.user_seconds.append((seconds / report.users, report.users))
        self.failed_users += report.failed_users
        self.written += report.written
        self.unknown += report.unknown
        self.conflicts += len(report.conflicts)
        self.quality_sum += report.quality_sum
        self.quality_count += report.quality_count
        # A shard that could not be loaded says so twice; the filter step's report counts.
        if report.error and report.step != "load":
            self.failures.append(Failure(report.step, report.round, report.shard, report.error))
        self.database += report.database
        self._add_costs(report)

    def include(self, other: "Totals") -> None:
        """Add other totals, of another round."""
        self._count(other.readings)
        self.user_seconds = self.user_seconds + other.user_seconds
        self.failures = self.failures + other.failures
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

    def _count(self, readings: Mapping[str, int]) -> None:
        for name, number in readings.items():
            self.readings[name] = self.readings.get(name, 0) + number

    def _add_costs(self, report: Report) -> None:
        start, end = self.phases.get(report.step, (report.started, report.ended))
        self.phases[report.step] = min(start, report.started), max(end, report.ended)
        peak, configured = self.memory.get(report.step, (0.0, 0))
        self.memory[report.step] = (
            max(peak, report.memory_mb),
            max(configured, report.configured_mb),
        )
        self.invocations += 1
        self.gb_seconds += (report.ended - report.started) * report.configured_mb / 1024
        self.puts += report.puts
        self.gets += report.gets


def total(reports: Iterable[Report]) -> Totals:
    """The sum of reports."""
    totals = Totals()
    for report in reports:
        totals.add(report)
    return totals


def sum_of(rounds: Iterable[Totals]) -> Totals:
    """The totals of several rounds in one."""
    totals = Totals()
    for one in rounds:
        totals.include(one)
    return totals
