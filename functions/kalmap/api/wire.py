"""The JSON objects of the HTTP API: requests' bodies, answers and problems."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from kalmap.profile import DEFAULT_PROFILE


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
