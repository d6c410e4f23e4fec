"""The batches of the HTTP API: how one is started, uploaded, looked at and read."""

import json
from collections.abc import Callable
from collections.abc import Mapping as Lookup
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kalmap.api.links import LINK_SECONDS, SignLink, batch_links
from kalmap.api.pages import batch_view
from kalmap.api.progress import progress
from kalmap.api.schemas import BatchStarted, BatchView, Upload, UploadRequest
from kalmap.batch.folder import Folder
from kalmap.batch.identity import BATCH_ID, read_options
from kalmap.batch.inline import store_records
from kalmap.errors import Contradiction, InputNotFound, InvalidInput
from kalmap.keys import BATCHES, INCOMING
from kalmap.moments import iso, parse_moment
from kalmap.pipeline.identify_batch import MAPPING_METADATA, identify_batch
from kalmap.records.mapping import Mapping, check_mapping
from kalmap.store.objects import Objects, OpenBucket
from kalmap.store.ports import ApiStatus, BatchRecord, BatchStore

#: Starts an execution of the state machine by its name and input; returns its ARN.
StartExecution = Callable[[str, str], str]

#: Signs an address that takes an object by one PUT: its key, the seconds, and its metadata.
SignUpload = Callable[[str, int, Lookup[str, str]], str]

_STARTING: ApiStatus = "STARTING"
_FAILED: ApiStatus = "FAILED"
#: Step Functions may not know an execution at once that it has just started.
_UNSEEN = timedelta(minutes=1)
_NO_BATCH = "There is no batch with this id. GET /batches lists all batches."
_NEVER_BEGAN = (
    "The execution ended before it could claim the batch, and changed no state. Its history in "
    "Step Functions says why. Send the same request again, without an Idempotency-Key or with "
    "another one."
)
#: S3 allows 2 KB of metadata, names included.
_MOST_METADATA_BYTES = 2000


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
        now: Wall-clock time.
        work: The work bucket.
        bucket: Opens a bucket by its name.
        records: The table of batches.
        start: Starts an execution.

    Raises:
        InvalidInput: The options do not have the right form.
        InvalidProfile: The profile is wrong or unknown.
        InputNotFound: There is nothing at the source.
    """
    read_options(options)
    options = _with_records_in_the_bucket(options, work, now)
    # IdentifyBatch does the same later. Here it refuses wrong input and finds the batch's id.
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
        # If the object is replaced at this moment, the batch still reads this version.
        source["version_id"] = first.version_id
    arn = start(execution, msgspec.json.encode(options).decode())
    return BatchStarted(pointer.batch_id, _STARTING, arn, status_url)


def prepare_upload(request: UploadRequest, upload_id: str, sign_upload: SignUpload) -> Upload:
    """Sign an address for a file whose arrival starts a batch.

    Args:
        request: The file's name and mapping.
        upload_id: Names the upload. No two uploads have the same id.
        sign_upload: Signs an address that takes one PUT.

    Raises:
        InvalidInput: The mapping is wrong, or too long for an object's metadata.
    """
    key = f"{INCOMING}{upload_id}/{request.name}"
    metadata = {} if request.mapping is None else {MAPPING_METADATA: _in_metadata(request.mapping)}
    # The signature covers these headers. So S3 refuses the file without its mapping.
    headers = {f"x-amz-meta-{name}": text for name, text in metadata.items()}
    url = sign_upload(key, LINK_SECONDS, metadata)
    return Upload(url, headers, key, LINK_SECONDS, "/batches")


def _in_metadata(mapping: Mapping) -> str:
    """A mapping as IdentifyBatch reads it from an object's metadata."""
    try:
        check_mapping(mapping)
    except InvalidInput as error:
        field = error.field and error.field.removeprefix("source.")
        raise InvalidInput(str(error).removeprefix("source."), field) from error
    # Headers are ASCII.
    text = json.dumps(msgspec.to_builtins(mapping), separators=(",", ":"))
    if len(text) > _MOST_METADATA_BYTES:
        raise InvalidInput(
            f"mapping has {len(text):,} bytes, and the metadata of an object in S3 holds at most "
            f"{_MOST_METADATA_BYTES:,}. Put the file below uploads/ in the bucket, and give the "
            "mapping to POST /batches as source.mapping.",
            "mapping",
        )
    return text


def view_batch(
    batch_id: str,
    *,
    now: datetime,
    records: BatchStore,
    work: Objects,
    sign: SignLink,
    is_running: Callable[[str], bool],
) -> BatchView:
    """Describe a batch: its progress while it runs, its summary and links when it has ended.

    Args:
        batch_id: The batch.
        now: Wall-clock time.
        records: The table of batches.
        work: The work bucket.
        sign: Signs the links.
        is_running: Looks up by an execution's name whether it is running.

    Raises:
        InputNotFound: There is no such batch.
    """
    record = find_batch(batch_id, records, work)
    if record is None:
        attempts = _attempts(batch_id, work)
        if _may_begin(attempts, now, is_running):
            return BatchView(batch_id=batch_id, status=_STARTING)
        # It may have begun since, and even ended.
        record = records.get(batch_id)
    if record is None:
        if any(folder.has_plan() for folder in attempts.values()):  # its record has expired
            raise InputNotFound(_NO_BATCH)
        return BatchView(batch_id=batch_id, status=_FAILED, reason=_NEVER_BEGAN)
    view, folder = batch_view(record), Folder(work, record.prefix)
    if record.status == "RUNNING":
        return msgspec.structs.replace(view, progress=progress(folder))
    summary = folder.summary()
    return msgspec.structs.replace(
        view,
        summary=msgspec.json.decode(summary, type=dict[str, Any]) if summary else None,
        links=batch_links(folder, sign, has_summary=summary is not None),
    )


def ended_batch_folder(batch_id: str, records: BatchStore, work: Objects) -> Folder:
    """Find the folder of a batch that has ended and has results.

    Raises:
        Contradiction: The batch has not ended.
        InputNotFound: There is no such batch, or it failed before it had results.
    """
    record = find_batch(batch_id, records, work)
    if record is None or record.status == "RUNNING":
        raise Contradiction(
            "The batch has not ended yet. Its results can be read after it has ended."
        )
    folder = Folder(work, record.prefix)
    if not folder.has_plan():
        raise InputNotFound("The batch failed before it had results. GET /batches/{id} says why.")
    return folder


def find_batch(batch_id: str, records: BatchStore, work: Objects) -> BatchRecord | None:
    """Find a batch's record; None while the batch is being identified.

    Raises:
        InputNotFound: There is no such batch.
    """
    if BATCH_ID.fullmatch(batch_id):
        record = records.get(batch_id)
        if record is not None or any(True for _ in work.keys(f"{BATCHES}{batch_id}/")):
            return record
    raise InputNotFound(_NO_BATCH)


def _attempts(batch_id: str, work: Objects) -> dict[str, Folder]:
    """The folders of a batch's attempts, by the names of their executions."""
    names = {key.split("/")[2] for key in work.keys(f"{BATCHES}{batch_id}/")}
    return {name: Folder(work, f"{BATCHES}{batch_id}/{name}") for name in names}


def _may_begin(
    attempts: Lookup[str, Folder], now: datetime, is_running: Callable[[str], bool]
) -> bool:
    """Whether an execution that has identified a batch may still claim it."""
    started = (parse_moment(folder.batch().started_at) for folder in attempts.values())
    return any(now - moment < _UNSEEN for moment in started) or any(map(is_running, attempts))


def _with_records_in_the_bucket(
    options: dict[str, Any], work: Objects, now: datetime
) -> dict[str, Any]:
    """Store inline records as an object, since an execution's input has at most 256 KB."""
    source = options.get("source")
    records = source.get("records") if source else None
    if source is None or not records:
        return options
    key = store_records(records, work, now)
    others = {name: value for name, value in source.items() if name != "records"}
    return options | {"source": {"bucket": work.bucket, "key": key} | others}
