"""CompleteBatch: store the summary and set the batch's record to succeeded."""

from datetime import datetime
from typing import NamedTuple

from kalmap.batch.folder import Folder
from kalmap.pipeline.batch_summary import batch_end, summarise_batch
from kalmap.results.totals import sum_of
from kalmap.store.ports import BatchStore


class Completed(NamedTuple):
    """The output of the execution."""

    batch_id: str
    attempt: str
    status: str
    summary: dict[str, str]
    """Bucket and key of `summary.json`."""
    received: int
    accepted: int
    changed: int
    seconds: float
    """From the start of the execution."""


def complete_batch(
    folder: Folder, records: BatchStore, round_: int, finished: datetime
) -> Completed:
    """Store the summary of a batch that succeeded, and set its record to succeeded."""
    batch = folder.batch()
    totals = sum_of(folder.totals(number) for number in range(round_ + 1))
    status = "rehearsed" if batch.write_mode == "none" else "succeeded"
    summary = summarise_batch(batch, totals, status, None, rounds=round_, finished=finished)
    key = folder.save_summary(summary)
    end = batch_end("SUCCEEDED", None, key, summary, finished)
    records.finish(batch.batch_id, batch.attempt, end)
    return Completed(
        batch_id=batch.batch_id,
        attempt=batch.attempt,
        status=status,
        summary={"bucket": folder.objects.bucket, "key": key},
        received=end.received,
        accepted=end.accepted,
        changed=end.changed,
        seconds=summary["time"]["total_seconds"],
    )
