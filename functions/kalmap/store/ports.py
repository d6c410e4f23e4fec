"""What the pipeline, the API and the command line ask of a store, and the records they exchange.

A store has three tables: the users' states, the batches, and answered requests of the HTTP API.
Each store has a folder of its own beside this module, and no other module knows how it stores
them. `dynamodb/` is the only one so far. A `deadline` is a time on the clock of the store's retry
policy, which is the monotonic clock.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from kalmap.errors import StoreUnavailable

#: How a batch ended.
EndStatus = Literal["SUCCEEDED", "FAILED"]
#: The status of a batch in its record.
RecordStatus = EndStatus | Literal["RUNNING"]
#: The status that the HTTP API shows: STARTING if the batch's record is not stored yet, BROKEN if
#: the record cannot be read.
ApiStatus = RecordStatus | Literal["STARTING", "BROKEN"]
#: The status that the command line shows: STOPPED if the record is RUNNING and its execution is
#: not.
BatchStatus = ApiStatus | Literal["STOPPED"]


class StoredState(NamedTuple):
    """A user's state as it was read."""

    version: int
    """Token of the last write; 0 if the stored state has none."""
    body: bytes
    """The fold's exact state. If the state is damaged or foreign, all its bytes."""
    tokens: tuple[int, ...]
    """Tokens of the last writes, newest first, at most four. Empty if the state is damaged."""


class UserState(NamedTuple):
    """A stored state with its readable fields, which are None if absent or unreadable."""

    user: str
    profile: str
    state: StoredState
    level: float | None
    slope: float | None
    as_of: int | None
    """Microseconds since 1970-01-01 UTC."""


class Change(NamedTuple):
    """A new state for a user."""

    user: str
    old: StoredState | None
    """The state that the new one was computed from; None for a new user."""
    body: bytes
    level: float
    slope: float
    as_of: int
    """Microseconds since 1970-01-01 UTC."""


@dataclass(slots=True)
class DatabaseUse:
    """What an operation cost the database. Two of them add up with +."""

    requests: int = 0
    """Calls, with repeated ones."""
    read_units: float = 0.0
    write_units: float = 0.0
    throttles: int = 0
    """Calls that the table refused, wholly or in part, for lack of capacity."""
    retries: int = 0
    """Calls that repeated another call or the rest of one."""
    seconds: float = field(default=0.0, compare=False)
    """Time in calls, without the pauses between them."""

    def __add__(self, other: "DatabaseUse") -> "DatabaseUse":
        return DatabaseUse(
            self.requests + other.requests,
            self.read_units + other.read_units,
            self.write_units + other.write_units,
            self.throttles + other.throttles,
            self.retries + other.retries,
            self.seconds + other.seconds,
        )


class Loaded(NamedTuple):
    """Stored states by user; a user without one is absent."""

    states: dict[str, StoredState]
    use: DatabaseUse
    left: tuple[str, ...] = ()
    """Users whose states could not be read."""


class Lookup(NamedTuple):
    """One user's state; None if there is none."""

    state: UserState | None
    use: DatabaseUse


class WriteResult(NamedTuple):
    """The outcome of each change. Every user is in exactly one of the first three fields."""

    stored: dict[str, StoredState]
    """The states that are in the table now, by user."""
    conflicts: dict[str, StoredState | None]
    """Users whose state another write has changed, with that state; None if it was deleted."""
    failed: dict[str, str]
    """Users whose write failed, with a sentence that says why. The table was read once more without
    finding the write, or there was no time to read it. It is safe to make the same write again."""
    use: DatabaseUse
    unfinished: frozenset[str] = frozenset()
    """Failed users whose write may succeed when it is made again, because only the retries or the
    time ended."""


class DeleteResult(NamedTuple):
    """The outcome of each deletion. Every user is in exactly one of the first three fields."""

    deleted: set[str]
    """Users without a state now, also those who had none before."""
    conflicts: dict[str, StoredState]
    """Users whose state is another one than was to be deleted, with that state."""
    failed: dict[str, str]
    """Users whose state could not be deleted, with a sentence that says why."""
    use: DatabaseUse


class StateStore(Protocol):
    """The users' states, one per user and profile. Safe to use from several threads."""

    def load(self, profile: str, users: Sequence[str], *, deadline: float | None = None) -> Loaded:
        """Read users' states, each as of its last completed write.

        Args:
            profile: Name of the profile.
            users: User ids. Repeated ones are read once.
            deadline: When to stop trying. None: no limit.

        Raises:
            StoreUnavailable: A state could not be read. Nothing is returned then.
        """

    def load_part(
        self, profile: str, users: Sequence[str], *, deadline: float | None = None
    ) -> tuple[Loaded, StoreUnavailable | None]:
        """Read users' states as `load` does, but return those that could be read.

        Returns:
            The states, and the error if any could not be read.
        """

    def get(self, profile: str, user: str, *, deadline: float | None = None) -> Lookup:
        """Read one user's state with its readable fields, as of its last completed write.

        Raises:
            StoreUnavailable: The state could not be read.
        """

    def of_user(self, user: str) -> Iterator[UserState]:
        """Read one user's states under every profile.

        Raises:
            StoreUnavailable: A state could not be read.
        """

    def scan(self) -> Iterator[UserState]:
        """Read all states, in no particular order.

        Raises:
            StoreUnavailable: A state could not be read.
        """

    def write(
        self,
        profile: str,
        changes: Sequence[Change],
        *,
        batch: str,
        attempt: str,
        round_: int,
        mode: str = "conditional",
        deadline: float | None = None,
    ) -> WriteResult:
        """Write new states, and return the outcome of each.

        The same call made twice writes once. The second call reports the states of the first one
        as stored.

        Args:
            profile: Name of the profile.
            changes: New states, at most one per user, each with the state it was computed from.
            batch: The batch's identity.
            attempt: The execution's name.
            round_: The conflict round, from 0.
            mode: "conditional": each user alone, refused if the state has changed meanwhile.
                "transactional": the same, but the users of one request are written together or
                not at all. If one of them has a conflict, the others are sent again without it.
                "overwrite": the stored state is replaced, for a single writer.
            deadline: When to stop trying. None: no limit.

        Raises:
            ValueError: The mode is none of the three.
        """

    def find_written(
        self,
        profile: str,
        changes: Sequence[Change],
        *,
        batch: str,
        attempt: str,
        round_: int,
        deadline: float | None = None,
    ) -> set[str]:
        """Return the users whose change is in the table.

        A write is no longer recognised after four others have followed it.

        Raises:
            StoreUnavailable: A state could not be read.
        """

    def write_tokens(
        self, changes: Sequence[Change], *, batch: str, attempt: str, round_: int
    ) -> dict[str, int]:
        """The version token that each user's write has: see `StoredState.tokens`."""

    def delete(
        self,
        profile: str,
        states: Mapping[str, StoredState | None],
        *,
        deadline: float | None = None,
    ) -> DeleteResult:
        """Delete users' states. It is safe to make the same call again.

        Args:
            profile: Name of the profile.
            states: By user, the state that may be deleted; None for whichever is stored.
            deadline: When to stop trying. None: no limit.
        """


class ListedBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as a list shows it."""

    batch_id: str
    status: BatchStatus
    reason: str | None = None
    """Why it failed or cannot be read, in a sentence."""
    execution_arn: str | None = None
    started_at: str | None = None
    """In ISO 8601, like `finished_at`."""
    finished_at: str | None = None
    received: int | None = None
    """Readings; None until the batch has ended."""
    accepted: int | None = None
    users: int | None = None
    changed: int | None = None


class BatchRecord(ListedBatch, frozen=True, kw_only=True):
    """A batch's record in the table of batches."""

    execution: str
    """Name of the execution that holds the batch, which is its attempt."""
    prefix: str
    """Key prefix of the batch's folder in the work bucket."""
    summary: str | None = None
    """Key of the summary in the work bucket."""


class BatchEnd(NamedTuple):
    """How a batch ended: the fields that the end adds to its record."""

    status: EndStatus
    reason: str | None
    """Why it failed, in a sentence."""
    summary: str
    """Key of the summary in the work bucket."""
    finished_at: datetime
    received: int
    accepted: int
    users: int
    changed: int


class BatchPosition(msgspec.Struct, array_like=True, frozen=True):
    """A batch's position in the list of batches."""

    started_at: str
    batch_id: str


class BatchStore(Protocol):
    """The records of batches. ClaimBatch, a state of the state machine, puts them."""

    def get(self, batch_id: str) -> BatchRecord | None:
        """Read a batch's record; None if there is none.

        Raises:
            BrokenRecord: The record lacks a field that every batch has.
        """

    def page(
        self, limit: int, after: BatchPosition | None = None
    ) -> tuple[list[ListedBatch], BatchPosition | None]:
        """Read one page of the batches, the newest first.

        A batch that has just begun may be missing for a moment. Records of versions that had no
        list are not in it, but `get` finds them. Batches are BatchRecords, unless they are BROKEN.

        Args:
            limit: Most batches of the page.
            after: Position of the last batch of the page before.

        Returns:
            The batches, and the position after which the next page begins. It is None on the last
            page.
        """

    def newest(self) -> Iterator[ListedBatch]:
        """Read all batches as `page` does, the newest first."""

    def finish(self, batch_id: str, attempt: str, end: BatchEnd) -> bool:
        """Record how a batch ended, if this attempt still holds it; return whether it does."""

    def give_up(self, batch_id: str, attempt: str, reason: str, finished: datetime) -> bool:
        """Record a batch as failed, if this attempt holds it and has not ended it.

        Returns:
            Whether it was recorded.
        """

    def take_back(self, batch_id: str, attempt: str, reason: str) -> bool:
        """Record a batch that succeeded as failed, if this attempt still holds it.

        The same batch can then be started again.

        Returns:
            Whether it was recorded.
        """

    def release(self, attempt: str, reason: str, finished: datetime) -> list[str]:
        """Record every batch as failed that this attempt holds and has not ended.

        Returns:
            The ids of the batches.
        """


class AnswerClaim(NamedTuple):
    """A request's claim to be the only one that is answered under its key."""

    key: str
    """The caller and the key that they chose."""
    payload_digest: str
    """Digest of the request's body. A key belongs to one body."""
    seconds: float
    """Time after which the claim ends if its request does not."""


class OtherRequest(Exception):
    """The key of a claim belongs to a request with another body."""


class AnswerPending(Exception):
    """Another request holds the claim and is not answered yet."""


class AnswerStore(Protocol):
    """Answers to requests, each stored under its request's key for 24 hours."""

    def answer_once(self, claim: AnswerClaim, compute: Callable[[], bytes]) -> bytes:
        """Return the answer that is stored for a claim's key, or compute and store it.

        If `compute` raises an error, nothing is stored, the claim is released, and the error
        reaches the caller.

        Raises:
            OtherRequest: The key belongs to a request with another body.
            AnswerPending: Another request holds the claim and is not answered yet.
        """
