"""IdentifyBatch: read the input, pin its objects' versions and `now`, compute the identity."""

from collections.abc import Callable
from collections.abc import Mapping as Lookup
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from kalmap.batch.folder import Folder
from kalmap.batch.identity import (
    MAX_OBJECTS,
    Batch,
    BatchInput,
    InputObject,
    Pointer,
    ProfileObject,
    Source,
    identity,
    read_input,
)
from kalmap.batch.inline import is_named_by_its_content, store_records
from kalmap.batch.remedies import START_INTERRUPTED_AGAIN
from kalmap.errors import InputNotFound, InvalidInput, InvalidProfile
from kalmap.keys import BATCHES, OWN_FOLDERS
from kalmap.moments import iso, microseconds, parse_moment
from kalmap.profile import Profile, builtin_profile, digest, load_profile
from kalmap.records.mapping import Mapping, check_mapping
from kalmap.store.objects import Objects, OpenBucket
from kalmap.store.ports import BatchStore
from kalmap.store.profiles import Profiles

_MOST_PROFILE_BYTES = 1_000_000
#: An object's metadata of this name is its mapping, in JSON.
MAPPING_METADATA = "kalmap-mapping"
#: Looks up by an execution's ARN whether it is still running.
IsRunning = Callable[[str], bool]


def identify_batch(
    event: Lookup[str, Any],
    *,
    execution: str,
    started_at: str,
    work: Objects,
    bucket: OpenBucket,
    records: BatchStore,
    is_running: IsRunning | None = None,
    record_days: int = 365,
) -> Pointer:
    """Identify the batch of an execution and store it in its folder.

    If the execution that claims the batch has ended without releasing it, release the claim.

    Args:
        event: The execution's input, or an S3 or custom event.
        execution: The execution's name; the batch's attempt.
        started_at: ISO 8601 time at which the execution began; the default of `now`.
        work: The work bucket.
        bucket: Opens a bucket by its name.
        records: The table of batches.
        is_running: Looks up whether the execution that claims a batch is running; None to assume
            that it is.
        record_days: Days until the batch's record expires.

    Raises:
        InvalidInput: The input does not have the right form.
        InvalidProfile: The profile is wrong or unknown.
        InputNotFound: There is nothing at the source.
    """
    batch_input = read_input(event)
    now = parse_moment(started_at)
    if batch_input.retry_of is None:
        _check_locations(batch_input, work)
        profile = _profile(batch_input.profile, bucket)
        objects, mapping = _input_objects(batch_input, work, bucket, now)
    else:
        _release_abandoned_claim(batch_input.retry_of, execution, records, is_running, now)
        before, objects, mapping = _find_retried_batch(batch_input.retry_of, work, records)
        profile = before.profile
        batch_input = msgspec.structs.replace(
            batch_input,
            write_mode=before.write_mode,
            limits=before.limits,
            adopt_profile=before.adopt_profile,
            results=before.results,
            share=before.share,
        )
    batch_id = identity(objects, digest(profile), batch_input, mapping)
    _release_abandoned_claim(batch_id, execution, records, is_running, now)
    batch = Batch(
        batch_id=batch_id,
        attempt=execution,
        profile=profile,
        write_mode=batch_input.write_mode,
        limits=batch_input.limits,
        adopt_profile=batch_input.adopt_profile,
        now=microseconds(batch_input.now or now),
        started_at=started_at,
        retry_of=batch_input.retry_of,
        mapping=mapping,
        results=batch_input.results,
        share=batch_input.share,
    )
    pointer = Pointer(
        batch_id=batch_id,
        attempt=execution,
        bucket=work.bucket,
        prefix=f"{BATCHES}{batch_id}/{execution}",
        profile=profile.name,
        write_mode=batch_input.write_mode,
        started_at=started_at,
        expires_at=str(int((now + timedelta(days=record_days)).timestamp())),
    )
    Folder.of(work, pointer).save_batch(batch, objects)
    Profiles(work).save(profile)
    return pointer


def _check_locations(batch_input: BatchInput, work: Objects) -> None:
    """Refuse input from kalmap's own folders of the work bucket, such as other batches' results."""
    source = batch_input.source
    if source is not None and source.bucket == work.bucket:
        if source.key is not None and source.key.startswith(OWN_FOLDERS):
            raise InvalidInput(
                f"source.key lies below {_below(source.key)}, which kalmap keeps for itself. "
                "Put the file elsewhere, for example below uploads/.",
                "source.key",
            )
        prefix = source.prefix
        if prefix is not None and (own := _below(prefix)):
            raise InvalidInput(
                f"source.prefix includes {own}, a folder that only kalmap uses. Name a prefix of "
                "your own, for example uploads/.",
                "source.prefix",
            )
    profile = batch_input.profile
    if (
        isinstance(profile, dict)
        and profile.get("bucket") == work.bucket
        and str(profile.get("key")).startswith(OWN_FOLDERS)
    ):
        raise InvalidInput(
            "profile.key lies below what kalmap keeps for itself. Put the profile elsewhere, for "
            "example below uploads/.",
            "profile.key",
        )


def _below(prefix: str) -> str | None:
    """Find a folder of kalmap that a key or prefix is in or contains; None if there is none."""
    for own in OWN_FOLDERS:
        if prefix.startswith(own) or own.startswith(prefix):
            return own
    return None


def _profile(named: str | Lookup[str, Any], bucket: OpenBucket) -> Profile:
    if isinstance(named, str):
        return builtin_profile(named)
    if set(named) == {"bucket", "key"}:
        location = msgspec.convert(named, ProfileObject)
        data = bucket(location.bucket).get(location.key, 0, _MOST_PROFILE_BYTES + 1)
        if len(data) > _MOST_PROFILE_BYTES:
            raise InvalidProfile(
                f"s3://{location.bucket}/{location.key} has more than {_MOST_PROFILE_BYTES:,} "
                "bytes, so it is no profile."
            )
        return load_profile(data)
    return load_profile(named)


def _release_abandoned_claim(
    batch_id: str,
    execution: str,
    records: BatchStore,
    is_running: IsRunning | None,
    now: datetime,
) -> None:
    if is_running is None:
        return
    record = records.get(batch_id)
    if record is None or record.status != "RUNNING" or record.execution_arn is None:
        return
    holder = record.execution
    if holder != execution and not is_running(record.execution_arn):
        records.give_up(
            batch_id,
            holder,
            f"Its execution ended without a summary. {START_INTERRUPTED_AGAIN}",
            now,
        )


def _find_retried_batch(
    batch_id: str, work: Objects, records: BatchStore
) -> tuple[Batch, list[InputObject], Mapping | None]:
    """The batch before, and what is read again: failed readings have kalmap's own format."""
    record = records.get(batch_id)
    if record is None:
        raise InputNotFound(f"There is no batch {batch_id} to run again.")
    if record.status == "RUNNING":
        raise InvalidInput(f"Batch {batch_id} is still running; run it again when it has ended.")
    folder = Folder(work, record.prefix)
    before = folder.batch()
    if record.status == "FAILED":
        return before, folder.inputs(), before.mapping
    failed = [
        InputObject(work.bucket, item["Key"], item["Size"], item["ETag"])
        for item in folder.failed_objects()
    ]
    if not failed:
        raise InputNotFound(f"Batch {batch_id} succeeded with no failed reading to run again.")
    return before, failed, None


def _input_objects(
    batch_input: BatchInput, work: Objects, bucket: OpenBucket, now: datetime
) -> tuple[list[InputObject], Mapping | None]:
    """The input's objects, and how they are read."""
    source = batch_input.source or Source()
    if source.records is not None:
        if not source.records:
            raise InvalidInput("The batch's source has an empty list of records.")
        key = store_records(source.records, work, now)
        return _one_object(Source(bucket=work.bucket, key=key), work, bucket)
    if source.key is not None:
        return _one_object(source, work, bucket)
    return _objects_below(source, bucket, batch_input.now or now), source.mapping


def _objects_below(source: Source, bucket: OpenBucket, now: datetime) -> list[InputObject]:
    name = source.bucket or ""
    # `now` is the end: the same `now` later on selects the same objects, so it is the same batch.
    since = now - timedelta(days=source.days) if source.days else None
    matching = (
        item
        for item in bucket(name).listing(source.prefix or "")
        if item["Size"] and (since is None or since < item["LastModified"] <= now)
    )
    objects = [
        InputObject(name, item["Key"], item["Size"], item["ETag"])
        for item in islice(matching, MAX_OBJECTS + 1)
    ]
    if len(objects) > MAX_OBJECTS:
        raise InvalidInput(
            f"There are more than {MAX_OBJECTS:,} objects below s3://{name}/{source.prefix}, and "
            "one batch reads no more. Run longer prefixes one after the other, older readings "
            "first, or join small objects to larger ones."
        )
    if not objects:
        within = f" of the {source.days} days before {iso(now)}" if source.days else ""
        raise InputNotFound(
            f"There is nothing to read below s3://{name}/{source.prefix}: no object{within}, or "
            "only empty ones."
        )
    return objects


def _one_object(
    source: Source, work: Objects, bucket: OpenBucket
) -> tuple[list[InputObject], Mapping | None]:
    name, key = source.bucket or "", source.key or ""
    if is_named_by_its_content(name, key, work):
        size = work.head(key)["ContentLength"]
        return [InputObject(name, key, size, etag="")], source.mapping
    head = bucket(name).head(key, source.version_id)
    if not head["ContentLength"]:
        raise InputNotFound(f"s3://{name}/{key} is empty: there are no readings in it.")
    # A bucket without versions returns no version, or the word null.
    version = head.get("VersionId")
    pinned = version if version != "null" else None
    item = InputObject(name, key, head["ContentLength"], head["ETag"], pinned)
    return [item], source.mapping or _mapping_of_object(f"s3://{name}/{key}", head)


def _mapping_of_object(name: str, head: dict[str, Any]) -> Mapping | None:
    """The mapping in an object's metadata, with which a dropped file says how it is read."""
    text = (head.get("Metadata") or {}).get(MAPPING_METADATA)
    if text is None:
        return None
    try:
        mapping = msgspec.json.decode(text, type=Mapping)
        check_mapping(mapping)
    except (msgspec.MsgspecError, InvalidInput) as error:
        raise InvalidInput(
            f"The metadata {MAPPING_METADATA} of {name} is no mapping: {error}", "source.mapping"
        ) from error
    return mapping
