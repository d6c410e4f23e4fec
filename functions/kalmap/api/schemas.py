"""The JSON objects of the HTTP API: requests' bodies, answers and problems."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from kalmap.profile import DEFAULT_PROFILE
from kalmap.records.mapping import Mapping as FileMapping
from kalmap.results.lines import Result
from kalmap.results.unreadable import Unreadable
from kalmap.store.breaker import Circuit
from kalmap.store.ports import ApiStatus, ListedBatch

#: What the steps of a running batch are doing.
Phase = Literal["planning", "partitioning", "loading", "filtering", "writing", "completing"]


class Measurements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measurements to be answered at once."""

    measurements: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]
    """Each as in a file of a batch. One that cannot be read gets an `unreadable` result."""
    profile: str | dict[str, Any] = DEFAULT_PROFILE
    """A built-in profile's name, or a profile."""
    adopt_profile: bool = False
    """Continue states that were folded under another profile of this name."""


class Answered(msgspec.Struct, frozen=True):
    """The answer to measurements."""

    results: list[Result] | None
    """One for each measurement, in the same order. Null if `results_url` has them."""
    results_url: str | None
    """A link to the results as JSONL, if they are too long for this object."""
    unreadable: list[Unreadable]
    """The faults of measurements that could not be read."""
    rejected: list[Unreadable]
    """The earlier name of `unreadable`, kept until version 0.2."""
    revisions: list[dict[str, Any]]
    """Earlier readings whose status a late reading has changed."""
    summary: dict[str, Any]
    """Counts, mean quality, time per user, database requests."""


class UploadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that will be uploaded as a batch."""

    name: Annotated[
        str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")
    ] = "measurements"
    """The file's name. It becomes a part of the key."""
    mapping: FileMapping | None = None
    """How to read a file of another program. Null for kalmap's own formats."""


class Upload(msgspec.Struct, frozen=True):
    """The address for a file, whose arrival starts a batch."""

    url: str
    """Takes a PUT of the file, without credentials, until it expires."""
    headers: dict[str, str]
    """Headers that the PUT must have, exactly. Only a mapping needs one."""
    key: str
    expires_in: int
    """Seconds."""
    batches_url: str
    """Path below the API's address. It lists the batch after it has begun."""


class BatchStarted(msgspec.Struct, frozen=True):
    """A batch that was started by this request or an earlier one."""

    batch_id: str
    status: ApiStatus
    """STARTING, or the status of the same batch that was started earlier."""
    execution_arn: str
    status_url: str
    """Path below the API's address."""


class Progress(msgspec.Struct, frozen=True):
    """The progress of a running batch."""

    phase: Phase
    round: int
    """Round of conflicts, from 0."""
    done: int
    """Shards that have finished the phase. In the phase `partitioning`, chunks."""
    total: int


class Links(msgspec.Struct, frozen=True):
    """Addresses that work without credentials for a limited time."""

    expires_in: int
    """Seconds."""
    summary: str | None
    results: list[str]
    """Files of result lines. For a user in several rounds, the highest round counts."""
    unreadable: list[str]
    """Files that describe the records that could not be read."""
    rejected: list[str]
    """The earlier name of `unreadable`, kept until version 0.2."""
    revisions: list[str]


class BatchView(ListedBatch, frozen=True, kw_only=True):
    """A batch."""

    status: ApiStatus
    progress: Progress | None = None
    summary: dict[str, Any] | None = None
    links: Links | None = None


class BatchPage(msgspec.Struct, frozen=True):
    """Batches, the newest first."""

    batches: list[BatchView]
    cursor: str | None
    """Requests the next page. Null on the last page."""


class ResultPage(msgspec.Struct, frozen=True):
    """A part of a batch's results: shard after shard, and in the input's order within a shard."""

    results: list[msgspec.Raw]
    cursor: str | None


class Interval(msgspec.Struct, frozen=True):
    """The interval that contains the true level with a probability."""

    low: float
    high: float
    probability: float


class WindowReading(msgspec.Struct, frozen=True):
    """A reading of the window."""

    timestamp: str
    value: float
    """In the profile's unit."""
    reason: str | None
    """Why it was rejected; null if it was accepted."""
    level_smoothed: float
    """The level at its time in the light of all readings of the window, later ones too."""
    level_smoothed_sd: float


class UserView(msgspec.Struct, frozen=True):
    """A user's state, or with `at` its prediction for that time."""

    user_id: str
    profile: str
    unit: str | None
    """Null if the profile is no longer stored, like every field that needs the profile."""
    level: float | None
    slope: float | None
    """Per day."""
    as_of: str | None
    """Time of the newest reading."""
    level_sd: float | None = None
    interval: Interval | None = None
    readings: int | None = None
    """Readings in the window."""
    rejected: int | None = None
    """Rejected readings in the window."""
    window: list[WindowReading] | None = None
    """The readings in the window, the oldest first."""
    at: datetime | None = None
    """Time of the prediction. Level, slope and interval are for this time."""


class Health(msgspec.Struct, frozen=True):
    """The health of the container that answered."""

    status: Literal["ok", "degraded"]
    """degraded if the circuit is not closed."""
    circuit: Circuit
    """State of the circuit breaker around the table."""
    cached_states: int
    memory_mb: float


class Problem(msgspec.Struct, frozen=True):
    """Why a request failed."""

    code: str
    """One of a closed set, for programs."""
    message: str
    """A sentence, for people."""
    field: str | None
    """The field or parameter of the request that is wrong. Null if none is."""
    request_id: str
