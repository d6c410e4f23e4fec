"""The summary: reports summed into totals, the commit gate judged, a batch told in one page."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from kalmap.batch import Limits
from kalmap.cost import estimate
from kalmap.report import Report
from kalmap.table import DatabaseUse

#: Below this many readings the share of unusable ones says too little to stop a batch.
_UNUSABLE_FROM = 100
_UNUSABLE = ("invalid/", "rejected/out_of_range", "rejected/in_future")


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


def closed_gate(totals: Totals, limits: Limits) -> str | None:
    """Why round 0 must not be committed, in a sentence; None where it may."""
    chunks = [failure for failure in totals.failures if failure.step == "partition"]
    if chunks:
        return (
            f"{len(chunks)} chunk(s) of the input could not be read, and their readings may be "
            f"older than others' of the same users. {chunks[0].error}"
        )
    shards = [failure for failure in totals.failures if failure.step == "filter"]
    if len(shards) > limits.failed_shards * totals.shards:
        return (
            f"{len(shards)} of {totals.shards} shards failed, more than the limit of "
            f"{limits.failed_shards:.0%}. {shards[0].error}"
        )
    unusable = sum(n for name, n in totals.readings.items() if name.startswith(_UNUSABLE))
    if totals.records >= _UNUSABLE_FROM and unusable > limits.unusable * totals.records:
        return (
            f"{unusable:,} of {totals.records:,} readings are invalid, out of range or in the "
            f"future, more than the limit of {limits.unusable:.0%}. The rejected file and the "
            "results say which; check unit, columns and clock, or raise limits.unusable."
        )
    return None


def failed_commit(totals: Totals, limits: Limits) -> str | None:
    """Why a batch whose gate was open has failed all the same; None where it has not.

    Args:
        totals: Of all rounds.
        limits: The batch's limits; the share of shards counts here, too.
    """
    failures = [f for f in totals.failures if f.step == "write" or f.round > 0]
    shards = len({failure.number for failure in failures})
    if shards <= limits.failed_shards * totals.first_shards:
        return None
    return (
        f"{shards} of {totals.first_shards} shards could not be committed, more than the limit of "
        f"{limits.failed_shards:.0%}. {failures[0].error} Start the same batch again: what was "
        "written counts once."
    )


def summarise(
    totals: Totals,
    *,
    identity: dict[str, Any],
    status: str,
    reason: str | None,
    rounds: int,
    finished: datetime,
) -> dict[str, Any]:
    """The page that `summary.json` holds.

    Args:
        totals: The sum of all the batch's reports.
        identity: What names the batch; stands first.
        status: succeeded, failed or rehearsed.
        reason: Why it failed, in a sentence.
        rounds: Conflict rounds after the first.
        finished: When the batch ended.
    """
    started = min((start for start, _ in totals.phases.values() if start), default=0.0)
    by_status: dict[str, Any] = {"rejected": {}, "invalid": {}, "failed": {}}
    for name, number in sorted(totals.readings.items()):
        state, _, why = name.partition("/")
        if number and state in by_status:
            by_status[state][why] = number
    quality = totals.quality_sum / totals.quality_count if totals.quality_count else None
    return identity | {
        "status": status,
        "reason": reason,
        "started_at": datetime.fromtimestamp(started, UTC).isoformat() if started else None,
        "finished_at": finished.isoformat(),
        "readings": {
            "received": totals.records,
            "accepted": totals.readings.get("accepted/", 0),
            "duplicate": totals.readings.get("duplicate/duplicate", 0),
            **by_status,
        },
        "users": {
            "total": totals.users,
            "new": totals.new_users,
            "changed": totals.written,
            "failed": totals.failed_users,
            "unknown": totals.unknown,
        },
        "quality": {"mean": quality},
        "time": {
            "total_seconds": round(finished.timestamp() - started, 3) if started else 0.0,
            "phases": {
                step: round(end - start, 3) for step, (start, end) in totals.phases.items() if start
            },
            "per_user_ms": _per_user(totals.user_seconds),
        },
        "database": {
            **msgspec.to_builtins(totals.database),
            "conflicts": totals.conflicts,
            "rounds": rounds,
        },
        "memory_mb": {step: round(peak, 1) for step, (peak, _) in totals.memory.items() if peak},
        "cost_usd": round(estimate(totals), 6),
        "failed_shards": [msgspec.to_builtins(f) for f in totals.failures if f.step != "partition"],
        "failed_chunks": [msgspec.to_builtins(f) for f in totals.failures if f.step == "partition"],
        "hints": hints(totals),
    }


def _per_user(shards: list[tuple[float, int]]) -> dict[str, float]:
    """Quantiles over users of their shard's time per user, in milliseconds."""
    ordered = sorted(shards)
    users = sum(count for _, count in ordered)

    def quantile(share: float) -> float:
        seen = 0
        for seconds, count in ordered:
            seen += count
            if seen >= share * users:
                return round(seconds * 1000, 4)
        return 0.0

    return {"p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1.0)}


def hints(totals: Totals) -> list[str]:
    """What someone who runs such batches should look at, in sentences."""
    readings, received = Counter(totals.readings), max(totals.records, 1)
    found = []
    if (suspects := readings["rejected/unit_suspect"]) > 0.01 * received:
        found.append(
            f"{suspects:,} readings fit once multiplied by a unit ratio: check their unit."
        )
    if (outliers := readings["rejected/outlier"]) > 0.1 * received:
        found.append(
            f"{outliers:,} readings are outliers, over 10 %: check the profile's noise and gate."
        )
    if late := readings["rejected/too_late"]:
        found.append(
            f"{late:,} readings came too late to count: send a user's readings in order of time, "
            "or within the profile's window."
        )
    if readings["duplicate/duplicate"] > 0.5 * received:
        found.append("Most readings were there already: was this input run before?")
    if totals.database.throttles:
        found.append(
            f"The table turned requests away {totals.database.throttles:,} times: lower the Maps' "
            "MaxConcurrency, or warm the table's throughput."
        )
    for step, (peak, configured) in totals.memory.items():
        if configured and peak > 0.8 * configured:
            found.append(
                f"{step} used {peak:.0f} of {configured} MB: raise its MemorySize or lower "
                "ReadingsPerShard."
            )
    return found
