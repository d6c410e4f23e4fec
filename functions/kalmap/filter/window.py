"""The window: merging new readings into the stored ones by key, and what falls out of it.

The merge decides everything that does not need the filter: `in_future`, `too_late`, duplicates,
`id_conflict` and `out_of_range`. What is left is stored, and folded strictly in key order.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.filter.columns import Decoded, Entries, key_above, ranges
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import I64, U8, Bool, Readings

_MICROSECONDS = 1_000_000
_DAY = 86_400 * _MICROSECONDS


class Merged(NamedTuple):
    """Stored and new readings of some users, ready to be folded."""

    reason: U8
    """(new readings,) Why a reading is not stored; 0 for those that are."""
    counts: I64
    """(users,) Readings to fold; 0 for a user to whom nothing new came."""
    entries: Entries
    """Those readings, user after user in key order; marks are the stored ones, 0 for new."""
    origin: I64
    """(entries,) Position among the new readings; -1 for a stored one."""
    plain: bool
    """The entries are the new readings, all and as they came: the usual backfill."""


def merge(profile: Profile, state: Decoded, new: Readings, arrivals: I64, now: int) -> Merged:
    """Bring new readings and stored windows together.

    Args:
        profile: Gives the plausible range and the tolerance for the future.
        state: Of the users that `new.user` counts.
        new: Readings, user after user, within a user in any order.
        arrivals: (users,) How many of each.
        now: The batch's time, microseconds since 1970 UTC.

    Returns:
        What is stored, in key order, and why the rest is not.
    """
    users = state.counts.size
    tolerance = round(profile.future_tolerance * _MICROSECONDS)
    reason = np.zeros(new.time.size, np.uint8)
    if state.failure.any():
        reason[state.failure[new.user] > 0] = Reason.USER_FAILED
    future = new.time > now + tolerance
    if future.any():
        reason[future & (reason == 0)] = Reason.IN_FUTURE
    if state.checkpoints.exists.any():
        mark = state.checkpoints
        absorbed = ~key_above(
            (new.time, new.tag, new.hash),
            (mark.time[new.user], mark.tag[new.user], mark.hash[new.user]),
        )
        reason[(reason == 0) & mark.exists[new.user] & absorbed] = Reason.TOO_LATE

    everything = live = np.arange(reason.size)
    if reason.any():
        live = np.flatnonzero(reason == 0)
        arrivals = np.bincount(new.user[live], minlength=users)
    counts, user, entries, origin = _together(state, new, live, arrivals)
    unordered = entries.time[1:] <= entries.time[:-1]
    unordered &= user[1:] == user[:-1]
    if unordered.any():
        entries, origin = _sort(unordered, user, entries, origin, new.index)
        stored = _first_of_key(user, entries, origin, reason)
    else:
        stored = np.ones(user.size, np.bool_)
    low, high = profile.range
    plausible = entries.value >= low
    plausible &= entries.value <= high
    if not plausible.all():
        outside = np.flatnonzero(stored & ~plausible & (origin >= 0))
        reason[origin[outside]] = Reason.OUT_OF_RANGE
        stored[outside] = False
    if not stored.all():
        counts, user, entries, origin = _only(stored, users, user, entries, origin)
    if state.counts.any():
        fresh = np.bincount(user[origin >= 0], minlength=users) > 0
        fresh |= state.foreign & (state.failure == 0)
        if not fresh.all():
            counts, user, entries, origin = _only(fresh[user], users, user, entries, origin)
    return Merged(reason, counts, entries, origin, origin is everything)


def _together(
    state: Decoded, new: Readings, live: I64, arrivals: I64
) -> tuple[I64, I64, Entries, I64]:
    """Windows and live readings in one run per user: the window first, then the new ones."""
    users = state.counts.size
    if live.size < new.time.size:
        new = Readings._make(column[live] for column in new)
    user = new.user.astype(np.int64)
    # + 0.0 makes -0.0 the 0.0 it equals, or bits would depend on which duplicate came first.
    value = new.value + 0.0
    mark = np.zeros(live.size, np.uint8)
    added = Entries(new.time, value, new.source, new.tag, new.hash, mark)
    if not state.counts.any():
        return arrivals, user, added, live
    counts = state.counts + arrivals
    starts = np.cumsum(counts) - counts
    kept = ranges(starts, state.counts)
    fresh = ranges(starts + state.counts, arrivals)
    stored: tuple[NDArray[Any], ...] = (*state.entries, np.full(kept.size, -1))
    columns: list[NDArray[Any]] = [np.empty(user.size + kept.size, old.dtype) for old in stored]
    for column, old, addition in zip(columns, stored, (*added, live), strict=True):
        column[kept] = old
        column[fresh] = addition
    merged, origin = Entries._make(columns[:-1]), columns[-1]
    return counts, np.repeat(np.arange(users), counts), merged, origin


def _sort(
    unordered: Bool, user: I64, entries: Entries, origin: I64, index: I64
) -> tuple[Entries, I64]:
    """Each user's readings in key order, and their origins; equal keys by window, then index.

    Most users' readings come in order and after their window, so only the others are moved.

    Args:
        unordered: (entries - 1,) Whether the next entry is the same user's and not later.
        user: (entries,) Whose they are, ascending.
        entries: Windows, and after each the new readings.
        origin: Where they came from.
        index: Rank of the new readings.
    """
    time = entries.time
    movable = np.zeros(int(user[-1]) + 1, np.bool_)
    movable[user[1:][unordered]] = True
    slots = np.flatnonzero(movable[user])
    rank = np.where(origin[slots] < 0, -1, index[origin[slots]])
    order = _key_order(user[slots], time[slots], entries.tag[slots], entries.hash[slots], rank)
    moved = slots[order]
    columns: list[NDArray[Any]] = [column.copy() for column in (*entries, origin)]
    for column in columns:
        column[slots] = column[moved]
    return Entries._make(columns[:-1]), columns[-1]


def _key_order(user: I64, time: I64, tag: U8, digest: NDArray[np.uint64], rank: I64) -> I64:
    """Sorting permutation by (user, time, tag, hash, rank).

    One integer of user and time sorts several times faster than five columns; the few readings
    that tie on it are then put right among themselves.
    """
    oldest = time.min()
    span = int(time.max()) - int(oldest)
    user_bits = max(1, int(user[-1] - user[0])).bit_length()
    shift = np.uint64(max(0, span.bit_length() + user_bits - 64))
    time_bits = np.uint64(max(0, span.bit_length() - int(shift)))
    coarse = (time.view(np.uint64) - np.uint64(oldest.view(np.uint64))) >> shift
    coarse |= (user - user[0]).view(np.uint64) << time_bits
    order: I64 = np.argsort(coarse)
    ties = coarse[order[1:]] == coarse[order[:-1]]
    if ties.any():
        tied = np.zeros(order.size, np.bool_)
        tied[1:] |= ties
        tied[:-1] |= ties
        some = order[tied]
        order[tied] = some[
            np.lexsort((rank[some], digest[some], tag[some], time[some], user[some]))
        ]
    return order


def _first_of_key(user: I64, entries: Entries, origin: I64, reason: U8) -> Bool:
    """Which entries are the first of their key; the others' reasons are set."""
    first = np.ones(user.size, np.bool_)
    ties = (entries.time[1:] == entries.time[:-1]) & (user[1:] == user[:-1])
    ties &= (entries.tag[1:] == entries.tag[:-1]) & (entries.hash[1:] == entries.hash[:-1])
    first[1:] = ~ties
    again = np.flatnonzero(~first)
    holder = np.maximum.accumulate(np.where(first, np.arange(user.size), 0))[again]
    # An id stands for one value from one source: with another source it is another reading.
    same = entries.value[again] == entries.value[holder]
    same &= entries.source[again] == entries.source[holder]
    reason[origin[again]] = np.where(same, Reason.DUPLICATE, Reason.ID_CONFLICT)
    return first


def _only(
    kept: Bool, users: int, user: I64, entries: Entries, origin: I64
) -> tuple[I64, I64, Entries, I64]:
    user = user[kept]
    remaining = Entries._make(column[kept] for column in entries)
    return np.bincount(user, minlength=users), user, remaining, origin[kept]


def absorbed(profile: Profile, counts: I64, time: I64) -> I64:
    """How many of each user's readings fall out of the window, oldest first.

    Args:
        profile: Gives K and H.
        counts: (users,) Readings of each, at least 1.
        time: All their times, user after user, ascending within a user.

    Returns:
        (users,) The window is what is left: at most K readings, none older than H before the
        newest.
    """
    ends = np.cumsum(counts)
    span = round(profile.window.days * _DAY)
    first = ends - counts
    too_many: I64 = np.maximum(counts - profile.window.readings, 0)
    newest = time[ends - 1]
    if not (newest - time[first] > span).any():
        return too_many
    newest = np.repeat(newest, counts)
    # Differences are compared, not sums: near the ends of int64 a sum could wrap.
    aged: I64 = np.add.reduceat((newest - time) > span, first, dtype=np.int64)
    return np.maximum(too_many, aged)
