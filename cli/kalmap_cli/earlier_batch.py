"""The earlier batch that read the same content, whose results a user who ran files twice wants."""

import contextlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from kalmap.batch.folder import Folder
from kalmap.errors import KalmapError
from kalmap.store.ports import BatchRecord
from kalmap_cli.deployment import Deployment

#: Batches that are looked through, the newest first.
_MOST = 500


def earlier_batch(
    deployment: Deployment, prefix: str, summary: Mapping[str, Any]
) -> BatchRecord | None:
    """Find the batch that accepted the readings which this one met again.

    Args:
        deployment: Where both have run.
        prefix: The prefix of this batch's objects.
        summary: Of this batch.

    Returns:
        The newest earlier batch of the same content that accepted readings; None if most
        readings of this batch were new, or if there is none.
    """
    readings = summary.get("readings") or {}
    received = readings.get("received") or 0
    if 2 * (received - (readings.get("accepted") or 0)) <= received:
        return None
    own = _contents(deployment, prefix)
    for record in islice(deployment.batches.newest(), _MOST) if own else ():
        if (
            isinstance(record, BatchRecord)
            and record.batch_id != summary.get("batch_id")
            and record.received == received
            and record.accepted
            and _contents(deployment, record.prefix) == own
        ):
            return record
    return None


def _contents(deployment: Deployment, prefix: str) -> list[tuple[int, str]]:
    """Size and etag of each object that a batch has read; nothing if this is not known."""
    with contextlib.suppress(ClientError, KalmapError, msgspec.MsgspecError):
        inputs = Folder(deployment.objects, prefix).inputs()
        if all(each.etag for each in inputs):
            return [(each.size, each.etag) for each in inputs]
    return []
