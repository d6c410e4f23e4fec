"""What crosses the HTTP API: requests' bodies, answers, problems; and how a body is read."""

import re
import zlib
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec

from kalmap.errors import InvalidInput, TooLarge, UnsupportedBody
from kalmap.profile import DEFAULT_PROFILE
from kalmap.records.gzipped import new_inflater

#: Lambda takes 6 MB of request, in which a body is base64.
MAX_SENT_BYTES = 4_400_000
#: A body may inflate to this much whatever it is, and beyond that to so many times its length.
#: Readings in JSON shrink to a tenth or a thirtieth.
_INFLATED_BYTES, _INFLATED_TIMES = 1_000_000, 100
_PLACE = re.compile(r"at `\$([^`]*)`")
_NAME = re.compile(r"(?:required|unknown) field `([^`]*)`")
T = TypeVar("T")


class Room(NamedTuple):
    """How large a request's body may be, once inflated."""

    size: int
    """Bytes."""
    values: int
    """Values in all its objects and lists, which take more memory than their bytes."""

    @staticmethod
    def of_measurements(most: int) -> "Room":
        """For so many measurements, of six fields each, and a profile."""
        return Room(min(_MOST.size, max(1_000_000, 2_000 * most)), 32 * most + 1_000)


_MOST = Room(10_000_000, 500_000)
#: For the records of a batch.
ROOM_FOR_RECORDS = _MOST
ROOM_FOR_A_NAME = Room(10_000, 100)


class Measurements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measurements to be answered at once."""

    measurements: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]
    """Each as in a file of a batch; one that cannot be read gets an `unreadable` result."""
    profile: str | dict[str, Any] = DEFAULT_PROFILE
    """A built-in profile's name, or a profile."""
    adopt_profile: bool = False
    """Go on with states folded under another profile of this name."""


class UploadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file to be uploaded as a batch."""

    name: Annotated[
        str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")
    ] = "measurements"
    """The file's name; part of its key."""


class Upload(msgspec.Struct, frozen=True):
    """Where to put a file; its arrival starts the batch."""

    url: str
    """Takes one PUT of the file, without credentials, until it expires."""
    key: str
    expires_in: int
    """Seconds."""
    batches_url: str
    """Lists the batch once it has begun; below the API's own address."""


class BatchStarted(msgspec.Struct, frozen=True):
    """A batch that has been started, or that was there already."""

    batch_id: str
    status: str
    """STARTING, or what an earlier start of the same batch has come to."""
    execution_arn: str
    status_url: str
    """Below the API's own address."""


class Progress(msgspec.Struct, frozen=True):
    """How far a running batch is."""

    phase: str
    """planning, partitioning, loading, filtering, writing or completing."""
    round: int
    """Of writing and its conflicts, from 0."""
    done: int
    """Shards that are through with the phase; when partitioning, chunks."""
    total: int


class Links(msgspec.Struct, frozen=True):
    """Addresses that work without credentials, for a while."""

    expires_in: int
    """Seconds."""
    summary: str | None
    results: list[str]
    """Files of result lines; in a higher round's file stands what holds."""
    unreadable: list[str]
    """Files about the records that could not be read."""
    rejected: list[str]
    """The earlier name of `unreadable`, kept until version 0.2."""
    revisions: list[str]


class BatchView(msgspec.Struct, frozen=True):
    """A batch."""

    batch_id: str
    status: str
    """STARTING, RUNNING, SUCCEEDED or FAILED."""
    reason: str | None = None
    """Why it failed, in a sentence."""
    execution_arn: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    received: int | None = None
    accepted: int | None = None
    users: int | None = None
    changed: int | None = None
    progress: Progress | None = None
    summary: dict[str, Any] | None = None
    links: Links | None = None


class BatchPage(msgspec.Struct, frozen=True):
    """Batches, the newest first."""

    batches: list[BatchView]
    cursor: str | None
    """Asks for the next page; null on the last one."""


class ResultPage(msgspec.Struct, frozen=True):
    """Some of a batch's results, shard after shard, in each in the input's order."""

    results: list[msgspec.Raw]
    cursor: str | None


class Interval(msgspec.Struct, frozen=True):
    """Where the true level is."""

    low: float
    high: float
    probability: float


class UserView(msgspec.Struct, frozen=True):
    """A user's state, and with `at` what is expected then."""

    user_id: str
    profile: str
    unit: str | None
    """Null, like all that needs the profile, if the profile is no longer stored."""
    level: float | None
    slope: float | None
    """Per day."""
    as_of: str | None
    """Time of the newest reading."""
    level_sd: float | None = None
    interval: Interval | None = None
    readings: int | None = None
    """In the window."""
    rejected: int | None = None
    """Those of them that are not believed."""
    at: datetime | None = None
    """Of the prediction, where one was asked for; level, slope and interval are of then."""


class Health(msgspec.Struct, frozen=True):
    """Whether requests are answered."""

    status: str
    circuit: str
    """Of the circuit breaker around the table: closed, open or half open."""
    cached_states: int
    memory_mb: float


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not answered as asked."""

    code: str
    """For programs: one of a closed set."""
    message: str
    """For people: a sentence."""
    field: str | None
    """The request's field that is wrong, where it is one."""
    request_id: str


def read_body(
    body: bytes, kind: type[T], *, content_type: str, encoding: str, room: Room = ROOM_FOR_RECORDS
) -> T:
    """A request's body.

    Args:
        body: As it was sent.
        kind: What it shall hold.
        content_type: Of the request; empty counts as JSON.
        encoding: Its Content-Encoding.
        room: How large it may be.

    Raises:
        UnsupportedBody: It is not JSON by its type, or encoded in an unknown way.
        TooLarge: It is larger than is read; it was not parsed then, nor inflated further.
        InvalidInput: It is not JSON, or not of this kind; the sentence names the field.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    # What curl says of its --data unless told otherwise is taken for JSON, which it mostly is.
    if media_type not in {"", "application/json", "application/x-www-form-urlencoded"}:
        raise UnsupportedBody(
            f"The body's type is {media_type[:60]!r}; send application/json. Files of CSV or JSONL "
            "go by POST /batches/uploads."
        )
    if len(body) > MAX_SENT_BYTES:
        raise _too_large(f"has more than {MAX_SENT_BYTES:,} bytes")
    data = _decoded(body, encoding.strip().lower(), room.size)
    if len(data) > room.size:
        raise _too_large(f"has more than {room.size:,} bytes")
    # Every value but the first of an object or a list follows a comma. Text may hold some, too.
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > room.values:
        raise _too_large(f"has more than {room.values:,} values")
    if not data.strip():
        raise InvalidInput("The request has no body; send a JSON object.")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The request's body is wrong: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The request's body is not JSON: {error}.") from error


def _too_large(what: str) -> TooLarge:
    return TooLarge(f"The request's body {what}. Upload it as a file by POST /batches/uploads.")


def _decoded(body: bytes, encoding: str, most: int) -> bytes:
    if encoding in {"", "identity"}:
        return body
    if encoding != "gzip":
        raise UnsupportedBody(
            f"The body's encoding is {encoding[:60]!r}; send it plain or gzipped."
        )
    inflate = new_inflater()
    most = min(most, max(_INFLATED_BYTES, _INFLATED_TIMES * len(body)))
    try:
        data = inflate.decompress(body, most)
    except zlib.error as error:
        raise InvalidInput(f"The body says gzip but cannot be inflated: {error}.") from error
    if inflate.unconsumed_tail:
        raise _too_large(f"inflates to more than {most:,} bytes")
    if not inflate.eof:
        raise InvalidInput("The body says gzip but is cut off.")
    if inflate.unused_data.strip(b"\0"):
        raise InvalidInput(
            "The body has bytes behind the end of its gzip stream. Send it as one stream."
        )
    return data


def lines_of(measurements: list[msgspec.Raw]) -> bytes:
    """Measurements as the JSONL that a file of them would hold, each as it was sent."""
    # Outside strings a line end is nothing but white space, and inside it is not JSON.
    return b"\n".join(
        bytes(record).replace(b"\r", b" ").replace(b"\n", b" ") for record in measurements
    )


def field_of(message: str) -> str | None:
    """The field that a sentence of msgspec's names, such as `source.key`; None for none."""
    place = _PLACE.search(message)
    name = _NAME.search(message)
    parts = (place[1].lstrip(".") if place else "", name[1] if name else "")
    return ".".join(part for part in parts if part) or None
