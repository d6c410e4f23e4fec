"""ReleaseClaim: for executions that end without a Catch: stopped, aborted or timed out."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kalmap.batch.remedies import START_INTERRUPTED_AGAIN
from kalmap.store.ports import BatchStore


def release_claim(detail: Mapping[str, Any], records: BatchStore, now: datetime) -> list[str]:
    """Set the batches that an ended execution still claims to failed, so that they can run again.

    Args:
        detail: The event's detail: the execution's `name` and `status`.
        records: The table of batches.
        now: The current time.

    Returns:
        The ids of the batches that it had claimed.
    """
    reason = (
        f"The execution ended as {detail['status']} without a summary. {START_INTERRUPTED_AGAIN}"
    )
    return records.release(detail["name"], reason, now)
