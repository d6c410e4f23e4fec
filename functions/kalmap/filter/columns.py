"""Many users' states as columns: checkpoints, windows and recoveries, and how to index them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.readings import F64, I64, U8, U64, Bool

#: Bits of a reading's flags.
REASON_BITS = 0x03
RESTARTED = 0x04


class Checkpoints(NamedTuple):
    """Each user's filter after the last reading it absorbed; arrays of shape (users,)."""

    exists: Bool
    time: I64
    """Microseconds since 1970 UTC: as-of time, and first part of the last key absorbed."""
    tag: U8
    hash: U64
    estimate: F64
    """(5, users) LEVEL, SLOPE, P00, P01, P11; zeros where none exists."""
    candidate: F64
    """(5, users) The same of the recovery candidate; zeros where there is none."""
    agreeing: U8
    """Rejected readings that agree on the candidate."""
    support: U8
    """Accepted readings since the filter (re)started, at most `Parameters.recovery`."""

    def select(self, users: I64) -> "Checkpoints":
        """The checkpoints of these users, as a copy."""
        return Checkpoints._make(column[..., users] for column in self)


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


class Recovery(NamedTuple):
    """Each user's recovery candidate: the estimate that rejected readings agree on."""

    candidate: F64
    """(5, users) LEVEL, SLOPE, P00, P01, P11; zeros where there is none."""
    agreeing: U8
    """(users,) Rejected readings folded into the candidate."""
    support: U8
    """(users,) Accepted readings since the filter (re)started, at most `Parameters.recovery`."""

    def select(self, users: I64) -> "Recovery":
        """The recoveries of these users, as a copy."""
        agreeing = self.agreeing[users]
        if agreeing.any():
            return Recovery(self.candidate[:, users], agreeing, self.support[users])
        return Recovery(np.zeros((5, users.size)), agreeing, self.support[users])

    def clear(self, users: I64) -> None:
        """Drop these users' candidates."""
        self.candidate[:, users] = 0.0
        self.agreeing[users] = 0


def empty_checkpoints(users: int) -> Checkpoints:
    """Checkpoints of users without a state."""
    return Checkpoints(
        np.zeros(users, np.bool_),
        np.zeros(users, np.int64),
        np.zeros(users, np.uint8),
        np.zeros(users, np.uint64),
        np.zeros((5, users)),
        np.zeros((5, users)),
        np.zeros(users, np.uint8),
        np.zeros(users, np.uint8),
    )


def empty_recovery(users: int) -> Recovery:
    """Recoveries of users without a state."""
    return Recovery(np.zeros((5, users)), np.zeros(users, np.uint8), np.zeros(users, np.uint8))


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
