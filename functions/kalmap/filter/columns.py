"""Many users' states as columns: beliefs, checkpoints and windows, and how to index them."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.readings import F64, I64, U8, U64, Bool

#: Bits of a reading's flags.
REASON_BITS = 0x03
RESTARTED = 0x04


#: Hypotheses besides the heaviest.
OTHERS = 2
#: Row of a hypothesis after LEVEL, SLOPE, P00, P01, P11: its weight over the heaviest's.
WEIGHT = 5


class Kind(IntEnum):
    """What a hypothesis holds the last reading to be. States store these."""

    GOOD = 0
    WRONG = 1
    WRONG_UNIT = 2


class Belief(NamedTuple):
    """What users' filters hold to be true; the last axis of each array is the users.

    The heaviest hypothesis has full precision. The others are rounded, as they are stored.
    """

    estimate: F64
    """(5, users) LEVEL, SLOPE, P00, P01, P11 of the heaviest hypothesis."""
    others: F64
    """(OTHERS, 6, users) The same and WEIGHT of the others, heaviest first; zeros for none."""
    kinds: U8
    """(1 + OTHERS, users) What the last reading is under each hypothesis: `Kind`."""
    last: F64
    """(users,) Value of the last reading; 0 where there is one hypothesis that believes it."""
    scale: F64
    """(users,) Variance of the user's readings over the profile's."""
    readings: F64
    """(users,) Readings that the scale has learned from, in quarters; no more than it remembers."""

    def select(self, users: I64) -> "Belief":
        """The beliefs of these users, as a copy."""
        return Belief._make(column.take(users, -1) for column in self)

    def put(self, users: I64, belief: "Belief") -> None:
        """Set the beliefs of these users."""
        columns: Iterable[tuple[Any, Any]] = zip(self, belief, strict=True)
        for column, values in columns:
            column[..., users] = values

    @property
    def is_open(self) -> Bool:
        """(users,) Whether there is something to weigh: other hypotheses, or a wrong reading."""
        weighed: Bool = (self.others[0, WEIGHT] > 0.0) | (self.kinds[0] > 0)
        return weighed


class Checkpoints(NamedTuple):
    """Each user's filter after the last reading it absorbed; arrays of shape (users,).

    From `estimate` on: a `Belief`.
    """

    exists: Bool
    time: I64
    """Microseconds since 1970 UTC: as-of time, and first part of the last key absorbed."""
    tag: U8
    hash: U64
    estimate: F64
    others: F64
    kinds: U8
    last: F64
    scale: F64
    readings: F64

    @property
    def belief(self) -> Belief:
        """The filters."""
        return Belief._make(self[4:])

    def select(self, users: I64) -> "Checkpoints":
        """The checkpoints of these users, as a copy."""
        return Checkpoints._make(column.take(users, -1) for column in self)


class Entries(NamedTuple):
    """Window readings of all users, user after user in key order; arrays of shape (entries,)."""

    time: I64
    value: F64
    source: U8
    tag: U8
    hash: U64
    flags: U8
    """REASON_BITS and RESTARTED of the last decision about the reading."""

    def select(self, rows: slice | I64 | Bool) -> "Entries":
        """These rows; with a slice, a view."""
        return Entries._make(column[rows] for column in self)


class Decoded(NamedTuple):
    """Users' states as columns."""

    failure: U8
    """(users,) Reason.CORRUPT_STATE, PROFILE_CHANGED, or 0."""
    foreign: Bool
    """(users,) The state was folded under another profile. It is adopted if there is no failure."""
    checkpoints: Checkpoints
    counts: I64
    """(users,) Window readings; 0 for new and failed users."""
    entries: Entries


def empty_belief(users: int) -> Belief:
    """Beliefs of users of whom there is no reading yet."""
    return Belief(
        np.zeros((5, users)),
        np.zeros((OTHERS, 6, users)),
        np.zeros((1 + OTHERS, users), np.uint8),
        np.zeros(users),
        np.ones(users),
        np.zeros(users),
    )


def empty_checkpoints(users: int) -> Checkpoints:
    """Checkpoints of users without a state."""
    return Checkpoints(
        np.zeros(users, np.bool_),
        np.zeros(users, np.int64),
        np.zeros(users, np.uint8),
        np.zeros(users, np.uint64),
        *empty_belief(users),
    )


def empty_entries() -> Entries:
    """No window readings."""
    return Entries(*(np.zeros(0, kind) for kind in ("i8", "f8", "u1", "u1", "u8", "u1")))


def key_above(keys: tuple[NDArray, ...], others: tuple[NDArray, ...]) -> Bool:  # type: ignore[type-arg]
    """Elementwise keys > others, as (time, tag, hash)."""
    time, tag, digest = keys
    other_time, other_tag, other_digest = others
    above = time > other_time
    tie = time == other_time
    if tie.any():
        higher = (tag > other_tag) | ((tag == other_tag) & (digest > other_digest))
        above |= tie & higher
    return above


def ranges(starts: I64, lengths: I64) -> I64:
    """Concatenation of arange(start, start + length) for each pair."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if ends.size else 0
    positions: I64 = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return positions
