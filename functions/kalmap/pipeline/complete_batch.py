"""CompleteBatch and RecordFailure: the summary written, the batch's record marked."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from kalmap import errors
from kalmap.batch.folder import Folder
from kalmap.batch.identity import Batch
from kalmap.moments import parse_moment
from kalmap.results.summary import summarise
from kalmap.results.totals import Totals, sum_of, total
from kalmap.store.ports import BatchStore
from kalmap.wording import counted


class Completed(NamedTuple):
    """What the execution ends with."""

    batch_id: str
    attempt: str
    status: str
    summary: dict[str, str]
    """Bucket and key of `summary.json`."""
    received: int
    accepted: int
    changed: int


class Failed(NamedTuple):
    """What a failed execution ends with."""

    error: str
    reason: str
    batch_id: str | None


def complete(folder: Folder, records: BatchStore, round_: int, finished: datetime) -> Completed:
    """Write the summary of a batch that went through, and mark it succeeded."""
    batch = folder.batch()
    totals = sum_of(folder.totals(number) for number in range(round_ + 1))
    status = "rehearsed" if batch.write_mode == "none" else "succeeded"
    summary = _summary(batch, totals, status, None, round_, finished)
    key = folder.save_summary(summary)
    records.finish(batch.batch_id, batch.attempt, "SUCCEEDED", None, key, summary, finished)
    readings = summary["readings"]
    return Completed(
        batch_id=batch.batch_id,
        attempt=batch.attempt,
        status=status,
        summary={"bucket": folder.objects.bucket, "key": key},
        received=readings["received"],
        accepted=readings["accepted"],
        changed=summary["users"]["changed"],
    )


def record_failure(
    folder: Folder, records: BatchStore, error: str, reason: str, finished: datetime
) -> Failed:
    """Write the summary of a batch that ended without success, and mark it failed."""
    batch = folder.batch()
    rounds = folder.rounds()
    totals = sum_of(total(folder.reports(number)) for number in range(rounds))
    if totals.written:
        reason += f" The states of {counted(totals.written, 'user')} had been written before."
    elif totals.unknown:
        reason += (
            f" Nobody knows whether the states of {counted(totals.unknown, 'user')} were written."
        )
    else:
        reason += " No state was changed."
    summary = _summary(batch, totals, "failed", reason, max(rounds - 1, 0), finished)
    key = folder.save_summary(summary)
    records.finish(batch.batch_id, batch.attempt, "FAILED", reason, key, summary, finished)
    return Failed(error, reason, batch.batch_id)


def sentence_of(error: Mapping[str, Any]) -> tuple[str, str]:
    """Name and sentence of the error a Catch saw.

    Args:
        error: The Catch's `Error` and `Cause`. A Lambda's cause is JSON with errorType and
            errorMessage; others are text.
    """
    name, cause = str(error.get("Error", "")), str(error.get("Cause", ""))
    try:
        failure = msgspec.json.decode(cause)
    except msgspec.DecodeError:
        failure = None
    if not isinstance(failure, dict):
        # A time limit of Step Functions comes without a cause.
        return name, cause or f"A step failed with {name}, and nothing more is known."
    message = str(failure.get("errorMessage") or cause)
    kind = str(failure.get("errorType") or name)
    if kind == "Runtime.HandlerError":  # the local cloud's name for whatever was raised
        return kind, message
    if not issubclass(getattr(errors, kind, Exception), errors.KalmapError):
        message = f"A step failed with {kind}: {message.rstrip('.')}."
    return kind, message


def _summary(
    batch: Batch, totals: Totals, status: str, reason: str | None, rounds: int, finished: datetime
) -> dict[str, Any]:
    return summarise(
        totals,
        identity={
            "batch_id": batch.batch_id,
            "attempt": batch.attempt,
            "profile": batch.profile.name,
            "write_mode": batch.write_mode,
            "adopt_profile": batch.adopt_profile,
            "now": batch.now_iso,
            "retry_of": batch.retry_of,
        },
        status=status,
        reason=reason,
        rounds=rounds,
        started=parse_moment(batch.started_at),
        finished=finished,
    )
