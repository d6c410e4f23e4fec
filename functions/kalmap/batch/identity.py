"""A batch: the execution's input in one form, and the identity that makes it run once."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from kalmap.errors import InvalidInput
from kalmap.keys import Form
from kalmap.moments import EARLIEST, LATEST, iso, microseconds, moment_at
from kalmap.profile import DEFAULT_PROFILE, Profile
from kalmap.records.mapping import Mapping as FileMapping
from kalmap.records.mapping import canonical, check_mapping
from kalmap.records.share import Share, check_share

WriteMode = Literal["conditional", "transactional", "overwrite", "none"]

#: The most objects that one batch may read. PlanBatch reads the beginning of each.
MAX_OBJECTS = 10_000
#: The most rounds that reload users whose state another batch has changed since it was loaded.
MAX_CONFLICT_ROUNDS = 8
BATCH_ID = re.compile(r"[0-9a-f]{32}")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
_INPUT_HELP = (
    'Give for example {"source": {"bucket": "b", "key": "k"}}; README and docs show every field.'
)


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the readings are: an object, all objects below a prefix, or the records inline."""

    bucket: str | None = None
    key: str | None = None
    version_id: str | None = None
    """Pins a key's version; S3 events carry it."""
    prefix: str | None = None
    days: int | None = None
    """With a prefix: read only objects that were put there in this many days before `now`."""
    records: list[dict[str, Any]] | None = None
    mapping: FileMapping | None = None
    """How to read files of other programs. None for kalmap's own formats."""


class ProfileObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A profile that is an object in S3."""

    bucket: str
    key: str


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The commit gate's limits, as shares."""

    failed_shards: float = 0.0
    unusable: float = 0.2


class BatchInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The execution's input."""

    source: Source | None = None
    profile: str | dict[str, Any] = DEFAULT_PROFILE
    write_mode: WriteMode = "conditional"
    limits: Limits = Limits()
    adopt_profile: bool = False
    now: datetime | None = None
    results: Form = "jsonl"
    """The form of the results in the work bucket: lines of JSON, or Parquet."""
    share: Share | None = None
    """Only users of this share; the readings of others are left to another batch. None for all."""
    retry_of: str | None = None
    """A batch to run again, instead of a source, with its profile and options. Its failed readings
    are read, or all of its readings if the batch failed as a whole."""


class InputObject(msgspec.Struct, frozen=True):
    """An input object pinned to the version that was there when the batch was identified."""

    bucket: str
    key: str
    size: int
    etag: str
    """Empty if the key is the hash of the content: then any version may be read."""
    version_id: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """An identified batch: the content of `batch.json`, which every later step reads."""

    batch_id: str
    attempt: str
    profile: Profile
    write_mode: WriteMode
    limits: Limits
    adopt_profile: bool
    now: int
    """Microseconds since 1970 UTC. Later readings are rejected as `in_future`."""
    started_at: str
    retry_of: str | None = None
    mapping: FileMapping | None = None
    results: Form = "jsonl"
    share: Share | None = None

    @property
    def now_iso(self) -> str:
        """`now` in ISO 8601."""
        return iso(moment_at(self.now))


class Pointer(msgspec.Struct, frozen=True):
    """What the state machine passes from step to step instead of the batch itself."""

    batch_id: str
    attempt: str
    bucket: str
    prefix: str
    profile: str
    write_mode: WriteMode
    started_at: str
    expires_at: str = "0"
    """When the batch's record expires, in seconds since 1970."""


def read_input(event: Mapping[str, Any]) -> BatchInput:
    """Read StartExecution input, an S3 event or a custom event.

    Raises:
        InvalidInput: It is none of these; the sentence names the field.
    """
    detail = event.get("detail")
    if event.get("source") == "aws.s3" and isinstance(detail, Mapping):
        return _from_s3_event(detail)
    options = event
    if isinstance(detail, Mapping) and "detail-type" in event:
        # The event rule has already compared the stack's name.
        options = {name: value for name, value in detail.items() if name != "stack"}
    return read_options(options)


def read_options(options: Mapping[str, Any]) -> BatchInput:
    """Read a batch's source and options, as StartExecution takes them.

    Raises:
        InvalidInput: Something in it is wrong; the sentence names the field.
    """
    try:
        batch_input = msgspec.convert(options, BatchInput)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The batch's input is wrong: {error}. {_INPUT_HELP}") from error
    _check(batch_input)
    return batch_input


def _from_s3_event(detail: Mapping[str, Any]) -> BatchInput:
    try:
        item = detail["object"]
        location = {"bucket": detail["bucket"]["name"], "key": item["key"]}
        batch_input = BatchInput(
            source=msgspec.convert(location | {"version_id": item.get("version-id")}, Source)
        )
    except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        raise InvalidInput(f"The S3 event has no bucket name or object key ({error}).") from error
    _check(batch_input)
    return batch_input


def _check(batch_input: BatchInput) -> None:
    source = batch_input.source
    if batch_input.now is not None and batch_input.now.tzinfo is None:
        raise InvalidInput("now needs an offset from UTC, for example 2026-03-01T07:12:00Z.", "now")
    if batch_input.now and not EARLIEST <= microseconds(batch_input.now) <= LATEST:
        raise InvalidInput("now lies outside the years 1 to 9999 of UTC.", "now")
    _check_profile(batch_input.profile)
    if batch_input.retry_of is not None:
        if not BATCH_ID.fullmatch(batch_input.retry_of):
            raise InvalidInput("retry_of is not a batch's id: 32 hexadecimal digits.", "retry_of")
        if batch_input != BatchInput(retry_of=batch_input.retry_of, now=batch_input.now):
            raise InvalidInput(
                "A batch with retry_of takes its readings, profile and options from the batch it "
                "names; leave out everything else but now."
            )
        return
    if source is None:
        raise InvalidInput(f"The batch's input has no source. {_INPUT_HELP}")
    named = [name for name in ("key", "prefix", "records") if getattr(source, name) is not None]
    if len(named) != 1:
        raise InvalidInput(
            "The batch's source needs exactly one of key, prefix and records; it has "
            f"{' and '.join(named) or 'none'}. {_INPUT_HELP}"
        )
    if named != ["records"] and not source.bucket:
        raise InvalidInput(f"The batch's source has a {named[0]} but no bucket. {_INPUT_HELP}")
    if source.bucket is not None and not _BUCKET.fullmatch(source.bucket):
        raise InvalidInput("source.bucket is not a bucket's name.", "source.bucket")
    if source.key is not None and not 0 < len(source.key.encode(errors="replace")) <= 1024:
        raise InvalidInput("source.key must have 1 to 1,024 bytes.", "source.key")
    if source.days is not None and (source.prefix is None or not 1 <= source.days <= 3650):
        raise InvalidInput(
            "source.days needs a source.prefix beside it, and must be from 1 to 3650.",
            "source.days",
        )
    if source.version_id == "":
        raise InvalidInput("source.version_id is empty; leave it out.", "source.version_id")
    if source.mapping is not None:
        if source.records is not None:
            raise InvalidInput(
                "source.mapping is for files. Give records the fields that kalmap reads.",
                "source.mapping",
            )
        check_mapping(source.mapping)
    if batch_input.share is not None:
        check_share(batch_input.share)
    for name in ("failed_shards", "unusable"):
        if not 0.0 <= getattr(batch_input.limits, name) <= 1.0:
            raise InvalidInput(f"limits.{name} is a share and must lie between 0 and 1.")


def _check_profile(profile: str | Mapping[str, Any]) -> None:
    """Check the bucket and key of a profile in S3. Its content is checked when it is loaded."""
    if isinstance(profile, str) or set(profile) != {"bucket", "key"}:
        return
    try:
        location = msgspec.convert(profile, ProfileObject)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"profile is wrong: {error}.", "profile") from error
    if not _BUCKET.fullmatch(location.bucket):
        raise InvalidInput("profile.bucket is not a bucket's name.", "profile.bucket")
    if not 0 < len(location.key.encode(errors="replace")) <= 1024:
        raise InvalidInput("profile.key must have 1 to 1,024 bytes.", "profile.key")


def identity(
    objects: Sequence[InputObject],
    profile_digest: bytes,
    batch_input: BatchInput,
    mapping: FileMapping | None = None,
) -> str:
    """Compute a batch's identity: the same for the same content, profile, options and mapping.

    An object is identified by its key and its version, or its etag if the bucket has no versions.
    Inline records are identified by their key alone, which is the hash of their content. `now` is
    part of the identity only if the caller set it.
    """
    content: list[Any] = [
        [(o.bucket, o.key, o.version_id or o.etag) for o in objects],
        profile_digest.hex(),
        batch_input.write_mode,
        [batch_input.limits.failed_shards, batch_input.limits.unusable],
        batch_input.adopt_profile,
        batch_input.now.isoformat() if batch_input.now else None,
        batch_input.retry_of,
    ]
    if mapping is not None:
        content.append(canonical(mapping).decode())
    if batch_input.results != "jsonl":
        content.append({"results": batch_input.results})
    if batch_input.share is not None:
        content.append({"share": batch_input.share})
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]
