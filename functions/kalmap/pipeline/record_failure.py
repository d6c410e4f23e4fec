"""RecordFailure: the state that every Catch of a batch's step leads to."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from kalmap.batch.folder import Folder
from kalmap.batch.identity import Pointer
from kalmap.pipeline.batch_summary import batch_end, summarise_batch
from kalmap.pipeline.caught_error import describe_error
from kalmap.plural import counted
from kalmap.results.totals import sum_of, total
from kalmap.store.objects import OpenBucket
from kalmap.store.ports import BatchStore


class Failed(NamedTuple):
    """The output of a failed execution."""

    error: str
    reason: str
    batch_id: str | None


def record_failure(
    state: Mapping[str, Any], bucket: OpenBucket, records: BatchStore, finished: datetime
) -> Failed:
    """Store the summary of a batch that failed, and set its record to failed.

    Args:
        state: The execution's state: the error that was caught and, once the batch was identified,
            its pointer.
        bucket: Opens a bucket by its name.
        records: The table of batches.
        finished: When the batch ended.
    """
    error, reason = describe_error(state["error"])
    if "batch" not in state:  # The batch was not identified, so it has no record.
        return Failed(error, f"{reason} No state was changed.", None)
    pointer = msgspec.convert(state["batch"], Pointer)
    folder = Folder.of(bucket(pointer.bucket), pointer)
    batch = folder.batch()
    rounds = folder.rounds()
    totals = sum_of(total(folder.reports(number)) for number in range(rounds))
    if totals.written:
        reason += f" The states of {counted(totals.written, 'user')} had been written before."
    elif totals.unknown:
        reason += (
            f" It is unknown whether the states of {counted(totals.unknown, 'user')} were written."
        )
    else:
        reason += " No state was changed."
    summary = summarise_batch(
        batch, totals, "failed", reason, rounds=max(rounds - 1, 0), finished=finished
    )
    key = folder.save_summary(summary)
    end = batch_end("FAILED", reason, key, summary, finished)
    records.finish(batch.batch_id, batch.attempt, end)
    return Failed(error, reason, batch.batch_id)
