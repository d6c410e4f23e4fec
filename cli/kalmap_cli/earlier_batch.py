"""The earlier batch that read the same content, whose results a user who ran files twice wants."""

import contextlib
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from kalmap.batch.folder import Folder
from kalmap.errors import KalmapError
from kalmap.outcome import Reason, Status
from kalmap.store.ports import BatchRecord
from kalmap_cli.deployment import Deployment
from kalmap_cli.screen import SHORT_ID

#: Batches that are looked through, the newest first.
_MOST = 500


def describe_earlier_batch(
    deployment: Deployment, prefix: str, summary: Mapping[str, Any]
) -> str | None:
    """Name the batch that decided about the readings which this one met again.

    Args:
        deployment: Where both have run.
        prefix: The prefix of this batch's objects.
        summary: Of this batch.

    Returns:
        A sentence with the command that gets its results; None if there is none.
    """
    readings = summary.get("readings") or {}
    received, accepted = readings.get("received") or 0, readings.get("accepted") or 0
    own = _contents(deployment, prefix) if readings.get("duplicate") else []
    for record in islice(deployment.batches.newest(), _MOST) if own else ():
        if not isinstance(record, BatchRecord) or record.batch_id == summary.get("batch_id"):
            continue
        if record.received is None:
            has_decided = accepted < _accepted_before(deployment, record)
        else:
            is_alike = record.received == received and 2 * accepted < received
            has_decided = is_alike and bool(record.accepted)
        if has_decided and _contents(deployment, record.prefix) == own:
            return _sentence(deployment, record)
    return None


def _sentence(deployment: Deployment, record: BatchRecord) -> str:
    short_id = record.batch_id[:SHORT_ID]
    command = f"`kalmap results {short_id}{deployment.options}`"
    if record.received is None:
        return (
            f"Batch {short_id} has read the same and was stopped before its end. What it had "
            f"stored by then is duplicate or too late here: {command} gets its decisions."
        )
    return f"Batch {short_id} has read the same before: {command} gets its results."


def _accepted_before(deployment: Deployment, record: BatchRecord) -> int:
    """The readings that a stopped batch had accepted; 0 if it had not decided about all.

    If a later batch accepts as many of the same readings, the stopped one had stored nothing.
    """
    folder = Folder(deployment.objects, record.prefix)
    with contextlib.suppress(ClientError, KalmapError, msgspec.MsgspecError):
        if folder.has_totals():
            return folder.totals(0).readings[Status.ACCEPTED, Reason.NONE]
    return 0


def _contents(deployment: Deployment, prefix: str) -> list[tuple[int, str]]:
    """Size and etag of each object that a batch has read; nothing if this is not known."""
    with contextlib.suppress(ClientError, KalmapError, msgspec.MsgspecError):
        inputs = Folder(deployment.objects, prefix).inputs()
        if all(each.etag for each in inputs):
            return [(each.size, each.etag) for each in inputs]
    return []
