"""Batches for the HTTP API: found by their id, or started unless they were before."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from kalmap.api.pages import batch_view
from kalmap.api.wire import BatchStarted
from kalmap.batch.folder import Folder
from kalmap.batch.identity import BATCH_ID, read_options
from kalmap.batch.inline import keep_records
from kalmap.errors import InputNotFound
from kalmap.moments import iso
from kalmap.pipeline.identify_batch import identify_batch
from kalmap.store.objects import Objects, OpenBucket
from kalmap.store.ports import BatchRecord, BatchStore

#: Starts an execution of the state machine by its name and input; returns its ARN.
StartExecution = Callable[[str, str], str]


def start_batch(
    options: dict[str, Any],
    *,
    execution: str,
    now: datetime,
    work: Objects,
    bucket: OpenBucket,
    records: BatchStore,
    start: StartExecution,
) -> BatchStarted:
    """Start a batch, unless this very batch is running or has succeeded.

    Args:
        options: The batch's source and options, as StartExecution takes them.
        execution: Name for the execution.
        now: The time.
        work: The work bucket.
        bucket: Opens a bucket by its name.
        records: The table of batches.
        start: Starts the execution.

    Raises:
        InvalidInput: The options do not have the right form.
        InvalidProfile: The profile is wrong or unknown.
        InputNotFound: There is nothing at the source.
    """
    read_options(options)
    options = _with_records_in_the_bucket(options, work, now)
    # IdentifyBatch does this, too. Here it refuses wrong input, and gives the batch's id.
    pointer = identify_batch(
        options, execution=execution, started_at=iso(now), work=work, bucket=bucket, records=records
    )
    status_url = f"/batches/{pointer.batch_id}"
    record = records.get(pointer.batch_id)
    if record is not None and record.status != "FAILED":
        view = batch_view(record)
        return BatchStarted(view.batch_id, view.status, view.execution_arn or "", status_url)
    [first, *_] = Folder.of(work, pointer).inputs()
    source = options.get("source") or {}
    if source.get("key") and first.version_id:
        # An object replaced in this moment would be another batch.
        source["version_id"] = first.version_id
    arn = start(execution, msgspec.json.encode(options).decode())
    return BatchStarted(pointer.batch_id, "STARTING", arn, status_url)


def find_batch(batch_id: str, records: BatchStore, work: Objects) -> BatchRecord | None:
    """A batch's record; None while it is being identified.

    Raises:
        InputNotFound: There is no such batch.
    """
    if BATCH_ID.fullmatch(batch_id):
        record = records.get(batch_id)
        if record is not None or any(True for _ in work.keys(f"batches/{batch_id}/")):
            return record
    raise InputNotFound("There is no batch with this id. GET /batches lists those there are.")


def _with_records_in_the_bucket(
    options: dict[str, Any], work: Objects, now: datetime
) -> dict[str, Any]:
    """Records sent along become an object: an execution's input has room for 256 KB only."""
    source = options.get("source")
    records = source.get("records") if source else None
    if source is None or not records:
        return options
    key = keep_records(records, work, now)
    others = {name: value for name, value in source.items() if name != "records"}
    return options | {"source": {"bucket": work.bucket, "key": key} | others}
