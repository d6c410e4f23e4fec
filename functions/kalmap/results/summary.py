"""The summary: a batch's totals on one page, with hints for the people who run such batches."""

from datetime import datetime
from typing import Any

import msgspec

from kalmap.moments import iso
from kalmap.outcome import Reason, Status
from kalmap.plural import counted
from kalmap.results.cost import estimate
from kalmap.results.performance import bottlenecks, figures
from kalmap.results.tally import Tally
from kalmap.results.totals import Totals


def summarise(
    totals: Totals,
    *,
    identity: dict[str, Any],
    status: str,
    reason: str | None,
    rounds: int,
    started: datetime,
    finished: datetime,
) -> dict[str, Any]:
    """Build the content of `summary.json`.

    Args:
        totals: The sum of all the batch's reports.
        identity: The fields that identify the batch. They come first.
        status: succeeded, failed or rehearsed.
        reason: A sentence that says why it failed; None if it did not.
        rounds: Conflict rounds after the first.
        started: When the execution began.
        finished: When the batch ended.
    """
    readings = totals.readings
    unreadable = _by_reason(readings, Status.UNREADABLE)
    quality = totals.quality_sum / totals.quality_count if totals.quality_count else None
    steps = figures(totals)
    return identity | {
        "status": status,
        "reason": reason,
        "started_at": iso(started),
        "finished_at": iso(finished),
        "readings": {
            "received": totals.records,
            "left_out": totals.left_out,
            "accepted": readings[Status.ACCEPTED, Reason.NONE],
            "duplicate": readings[Status.DUPLICATE, Reason.DUPLICATE],
            "rejected": _by_reason(readings, Status.REJECTED),
            "unreadable": unreadable,
            "failed": _by_reason(readings, Status.FAILED),
            # The earlier name of `unreadable`, which programs may use until version 0.2.
            "invalid": unreadable,
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
            "total_seconds": round((finished - started).total_seconds(), 3),
            "phases": {
                step: round(end - start, 3) for step, (start, end) in totals.phases.items() if start
            },
            "per_user_ms": _per_user(totals.user_seconds),
        },
        "database": {
            **msgspec.to_builtins(totals.database),
            "seconds": round(totals.database.seconds, 3),
            "conflicts": totals.conflicts,
            "rounds": rounds,
        },
        "memory_mb": {step: round(peak, 1) for step, (peak, _) in totals.memory.items() if peak},
        "performance": {step: one._asdict() for step, one in steps.items()},
        "lost_tries": totals.lost_tries,
        "cost_usd": round(estimate(totals, rounds), 6),
        "failed_shards": [msgspec.to_builtins(f) for f in totals.failures if f.step != "partition"],
        "failed_chunks": [msgspec.to_builtins(f) for f in totals.failures if f.step == "partition"],
        "hints": hints(totals) + bottlenecks(totals, steps),
    }


def _by_reason(readings: Tally, status: Status) -> dict[str | None, int]:
    """The numbers of one status by the reasons' names, in alphabetical order."""
    numbers = readings.of_status(status)
    return {reason.label: numbers[reason] for reason in sorted(numbers, key=lambda one: one.name)}


def _per_user(shards: list[tuple[float, int]]) -> dict[str, float]:
    """Compute quantiles over users of their shard's time per user, in milliseconds."""
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
    """Sentences about the readings: what the people who send them should look at."""
    readings, received = totals.readings, max(totals.records, 1)
    sentences = list(totals.notes)
    if (suspects := readings[Status.REJECTED, Reason.UNIT_SUSPECT]) > 0.01 * received:
        sentences.append(
            f"{counted(suspects, 'reading')} would fit once multiplied by a unit ratio: check the "
            "unit."
        )
    rejected = sum(readings.of_status(Status.REJECTED).values())
    most = max((work.most_rejected for work in totals.work), default=0)
    one_users = most > 0.5 * rejected and totals.users > 1
    if one_users and rejected > 0.01 * received:
        sentences.append(
            f"{most:,} of the {counted(rejected, 'rejected reading')} are one user's: look at "
            "that user, rather than at the profile."
        )
    if (outliers := readings[Status.REJECTED, Reason.OUTLIER]) > 0.1 * received and not one_users:
        sentences.append(
            f"Over 10 % are outliers, {counted(outliers, 'reading')}: check the profile's noise "
            "and gate."
        )
    if late := readings[Status.REJECTED, Reason.TOO_LATE]:
        sentences.append(
            f"{counted(late, 'reading')} came too late to count: send a user's readings in order "
            "of time, or within the profile's window."
        )
    if readings[Status.DUPLICATE, Reason.DUPLICATE] > 0.5 * received:
        sentences.append(
            "Most readings were there already: was this input run before? Then the earlier batch "
            "has their results."
        )
    return sentences
