"""The exact state of a user as bytes: a checkpoint and a window, little-endian.

`layout` says which byte is what. A part that does not exist is zero, so equal states are equal
bytes. All lengths are multiples of three 8-byte words, so that many bodies are decoded as one array
of such rows.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.errors import InvalidInput
from kalmap.filter import format_one
from kalmap.filter.bodies import (
    ENTRY_BYTES,
    HEADER_BYTES,
    HEADER_ROWS,
    Bodies,
    allocate_bodies,
    body_sizes,
)
from kalmap.filter.columns import (
    REASON_BITS,
    RESTARTED,
    WEIGHT,
    Checkpoints,
    Decoded,
    Entries,
    Kind,
    empty_checkpoints,
    empty_entries,
    key_above,
    ranges,
)
from kalmap.filter.layout import (
    FORMAT,
    HEADER,
    KIND_BITS,
    checksums,
    read_others,
    write_others,
)
from kalmap.outcome import Reason
from kalmap.profile import MAX_WINDOW_READINGS
from kalmap.readings import F64, I64, U8, U64, Bool

#: Users encoded at once: the intermediate arrays stay in a level-2 cache.
_BLOCK = 4096

#: A header that is copied whole.
_OPAQUE_HEADER = np.dtype((np.void, HEADER_BYTES))
_LENGTHS = HEADER_BYTES + ENTRY_BYTES * np.arange(1, MAX_WINDOW_READINGS + 1)
_OFFSET_BITS = np.uint64(48)
_OFFSET = np.uint64((1 << 48) - 1)

#: No profile allows a larger estimate or reading, and no square of a smaller one overflows.
_HUGE = 1e15
#: Square of the largest reading, over the smallest variance that a profile allows.
_LARGEST_SCALE = 1e60


class Windows(NamedTuple):
    """The windows of users, as parts of a run of readings."""

    counts: I64
    """(users,) Window readings of each, 1 to MAX_WINDOW_READINGS."""
    first: I64
    """(users,) Where in `entries` each window begins; ascending."""
    entries: Entries
    """Readings, user after user in key order."""

    def select(self, users: slice) -> "Windows":
        """The windows of these users, with no other readings between them."""
        counts, first = self.counts[users], self.first[users]
        begin, end = int(first[0]), int(first[-1] + counts[-1])
        if end - begin == int(counts.sum()):
            return Windows(counts, first - begin, self.entries.select(slice(begin, end)))
        return Windows(
            counts, np.cumsum(counts) - counts, self.entries.select(ranges(first, counts))
        )


def decode(
    bodies: Sequence[bytes | None], profile_digest: bytes, *, adopt: bool = False
) -> Decoded:
    """Read many states at once.

    Args:
        bodies: Of each user; None for a new one. Those of format 1 are carried over.
        profile_digest: Of the profile in use.
        adopt: Accept states folded under another profile.

    Returns:
        The states. A body that is not sound gives a failure and is left out.
    """
    users = len(bodies)
    failure = np.zeros(users, np.uint8)
    foreign = np.zeros(users, np.bool_)
    counts = np.zeros(users, np.int64)
    checkpoints = empty_checkpoints(users)
    lengths = body_sizes(bodies)
    if not (lengths >= 0).any():
        return Decoded(failure, foreign, checkpoints, counts, empty_entries())
    bodies = format_one.carried_over(bodies)
    lengths = body_sizes(bodies)
    fitting = np.isin(lengths, _LENGTHS)
    failure[(lengths >= 0) & ~fitting] = Reason.CORRUPT_STATE
    row_of = np.flatnonzero(fitting)
    if not row_of.size:
        return Decoded(failure, foreign, checkpoints, counts, empty_entries())

    data = b"".join([bodies[user] for user in row_of.tolist()])  # type: ignore[misc]
    words = np.frombuffer(data, "<u8")
    lengths = lengths[row_of] // ENTRY_BYTES
    starts = np.cumsum(lengths) - lengths
    header = _headers(words)[starts].view(HEADER)
    checksum = header["checksum"].copy()
    header["checksum"] = 0
    window = lengths - HEADER_ROWS
    position = 3 * ranges(starts + HEADER_ROWS, window)
    packed, values, hashes = (words[position + number] for number in range(3))
    owner = np.repeat(np.arange(row_of.size), window)

    last_byte = (packed >> np.uint64(56)).astype(np.uint8)
    entries = Entries(
        header["newest"][owner] - (packed & _OFFSET).view(np.int64),
        values.view(np.float64),
        (packed >> _OFFSET_BITS).astype(np.uint8),
        last_byte >> np.uint8(7),
        hashes,
        last_byte & np.uint8(REASON_BITS | RESTARTED),
    )
    flags = header["flags"]
    stored = Checkpoints(
        exists=(flags & 1).astype(np.bool_),
        time=header["time"],
        tag=(flags >> 1) & np.uint8(1),
        hash=header["hash"],
        estimate=np.ascontiguousarray(header["estimate"].T),
        others=read_others(header),
        kinds=(flags >> KIND_BITS) & np.uint8(3),
        last=header["last"].astype(np.float64),
        scale=header["scale"].copy(),
        readings=header["learned"] / 4.0,
    )
    first = np.cumsum(window) - window
    sound = (
        (header["format"] == FORMAT)
        & (header["readings"] == window)
        & (checksum == checksums(header, (packed, values, hashes), first))
        & _sound_checkpoints(stored)
        & _sound_windows(stored, entries, window, owner, last_byte)
    )
    other = header["profile_digest"] != np.frombuffer(profile_digest, "<u8")[0]
    failure[row_of[other & (not adopt)]] = Reason.PROFILE_CHANGED
    failure[row_of[~sound]] = Reason.CORRUPT_STATE
    foreign[row_of] = other
    good = failure[row_of] == 0
    users_of = row_of[good]
    columns: Iterable[tuple[Any, Any]] = zip(checkpoints, stored, strict=True)
    for column, stored_column in columns:
        column[..., users_of] = stored_column[..., good]
    checkpoints.scale[~checkpoints.exists] = 1.0
    counts[users_of] = window[good]
    if not good.all():
        entries = entries.select(good[owner])
    return Decoded(failure, foreign, checkpoints, counts, entries)


def _sound_checkpoints(stored: Checkpoints) -> Bool:
    """Whether `encode` could have written each checkpoint."""
    exists = stored.exists
    sound = np.where(exists, _sound_estimates(stored.estimate), ~stored.estimate.any(axis=0))
    present = stored.others[:, WEIGHT] > 0.0
    for other, has_weight, kind in zip(stored.others, present, stored.kinds[1:], strict=True):
        absent = ~other.any(axis=0) & (kind == 0)
        sound &= np.where(has_weight, exists & (other[WEIGHT] <= 1.0), absent)
        sound &= ~has_weight | _sound_estimates(other[:WEIGHT])
    sound &= (present[0] | ~present[1]) & (stored.kinds <= max(Kind)).all(axis=0)
    sound &= np.abs(stored.last) <= _HUGE
    noise = (stored.scale > 0.0) & (stored.scale <= _LARGEST_SCALE)
    nothing = (
        (stored.time == 0)
        & (stored.tag == 0)
        & (stored.hash == 0)
        & (stored.kinds == 0).all(axis=0)
        & (stored.last == 0.0)
        & (stored.readings == 0.0)
        & (stored.scale == 0.0)
    )
    sound &= np.where(exists, noise, nothing)
    return sound


def _sound_estimates(estimate: F64) -> Bool:
    """Whether each is finite, and its covariance positive semi-definite; (5, users)."""
    level, slope, p00, p01, p11 = estimate
    with np.errstate(invalid="ignore", over="ignore"):
        sound: Bool = np.abs(estimate).max(axis=0) <= _HUGE * _HUGE
        sound &= (np.abs(level) <= _HUGE) & (np.abs(slope) <= _HUGE)
        sound &= (p00 > 0.0) & (p11 >= 0.0)
        sound &= p01 * p01 <= p00 * p11 * (1.0 + 1e-9)
    return sound


def _sound_windows(
    stored: Checkpoints, entries: Entries, window: I64, owner: I64, last_byte: U8
) -> Bool:
    """Whether each window is in strict key order, above the checkpoint, with finite values."""
    bad = ~(np.abs(entries.value) <= _HUGE)
    bad |= (last_byte & 0x78) != 0
    first = np.cumsum(window) - window
    before = np.arange(owner.size) - 1
    ordered = key_above(
        (entries.time, entries.tag, entries.hash),
        tuple(column[before] for column in (entries.time, entries.tag, entries.hash)),
    )
    ordered[first] = ~stored.exists | key_above(
        tuple(column[first] for column in (entries.time, entries.tag, entries.hash)),
        (stored.time, stored.tag, stored.hash),
    )
    bad |= ~ordered
    return ~np.logical_or.reduceat(bad, first)


def _headers(words: U64) -> NDArray[np.void]:
    """The header that begins at each row of a buffer: overlapping views, without a copy."""
    rows = words.size // 3 - HEADER_ROWS + 1
    return np.ndarray((rows,), _OPAQUE_HEADER, words, strides=(ENTRY_BYTES,))


def encode(
    checkpoints: Checkpoints, counts: I64, entries: Entries, profile_digest: bytes
) -> Bodies:
    """Write many states at once; the inverse of `decode`.

    Args:
        checkpoints: Of shape (users,).
        counts: (users,) Window readings of each, 1 to MAX_WINDOW_READINGS.
        entries: All windows, user after user in key order.
        profile_digest: Of the profile they were folded under.

    Returns:
        A body for each user.
    """
    bodies = allocate_bodies(counts)
    windows = Windows(counts, np.cumsum(counts) - counts, entries)
    encode_into(bodies, None, checkpoints, windows, profile_digest)
    return bodies


def encode_into(
    bodies: Bodies,
    users: I64 | None,
    checkpoints: Checkpoints,
    windows: Windows,
    profile_digest: bytes,
) -> None:
    """Write many states into bodies that are allocated.

    Args:
        bodies: Changed.
        users: (users,) Positions in `bodies`; None for all of them.
        checkpoints: Of these users.
        windows: Of these users.
        profile_digest: Of the profile they were folded under.
    """
    starts = bodies.starts if users is None else bodies.starts[users]
    for first in range(0, starts.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        part = Checkpoints._make(column[..., block] for column in checkpoints)
        _write(bodies.words, starts[block], part, windows.select(block), profile_digest)
    bodies.rows[slice(None) if users is None else users] = windows.counts + HEADER_ROWS


def _write(
    out: U64, starts: I64, checkpoints: Checkpoints, windows: Windows, profile_digest: bytes
) -> None:
    """Write bodies into a buffer, each from its row of `starts` on."""
    counts, _, entries = windows
    ends = np.cumsum(counts)
    newest = entries.time[ends - 1]

    header = np.empty(counts.size, HEADER)
    header["format"] = FORMAT
    header["readings"] = counts
    header["flags"] = checkpoints.exists | (checkpoints.tag << np.uint8(1))
    header["flags"] |= np.bitwise_or.reduce(checkpoints.kinds << KIND_BITS, axis=0)
    header["learned"] = 4.0 * checkpoints.readings
    header["checksum"] = 0
    header["profile_digest"] = np.frombuffer(profile_digest, "<u8")[0]
    header["time"] = checkpoints.time
    header["hash"] = checkpoints.hash
    header["estimate"] = checkpoints.estimate.T
    header["scale"] = checkpoints.scale * checkpoints.exists
    write_others(header, checkpoints.others)
    header["last"] = checkpoints.last
    header["newest"] = newest

    packed = np.repeat(newest, counts)
    packed -= entries.time
    last_byte = entries.tag << np.uint8(7)
    last_byte |= entries.flags
    top = last_byte.astype(np.uint64)
    top <<= np.uint64(8)
    top |= entries.source
    top <<= _OFFSET_BITS
    top |= packed.view(np.uint64)
    words = (top, entries.value.view(np.uint64), entries.hash)
    header["checksum"] = checksums(header, words, ends - counts)
    _headers(out)[starts] = header.view(_OPAQUE_HEADER)
    position = ranges(starts + HEADER_ROWS, counts)
    position *= 3
    for number, word in enumerate(words):
        out[number:][position] = word


def profile_digest_of(body: bytes) -> bytes:
    """Digest of the profile a state was folded under.

    Raises:
        InvalidInput: The body is shorter than the header that has it.
    """
    if len(body) < HEADER_BYTES:
        raise InvalidInput("The stored state is not sound: it was cut off.")
    return np.frombuffer(body, HEADER, count=1)["profile_digest"].tobytes()
