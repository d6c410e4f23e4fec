"""The window: new readings are merged into the stored ones by key, and old ones expire.

The merge decides everything that does not need the filter: `in_future`, `too_late`, duplicates,
`id_conflict` and `out_of_range`. The other readings are stored, and folded strictly in key order.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.filter.columns import Decoded, Entries, key_above, ranges
from kalmap.moments import DAY, SECOND
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import I64, U8, Bool, Readings


class Merged(NamedTuple):
    """Stored and new readings of users, ready to be folded."""

    reason: U8
    """(new readings,) Why a reading is not stored; 0 for those that are."""
    counts: I64
    """(users,) Readings to fold; 0 for a user without new ones."""
    entries: Entries
    """Those readings, user after user in key order; flags are the stored ones, 0 for new."""
    origin: I64
    """(entries,) Position among the new readings; -1 for a stored one."""
    only_new: bool
    """The entries are exactly the new readings, in their order: the usual backfill."""


class _Rows(NamedTuple):
    """Stored and new readings, user after user; arrays of shape (entries,)."""

    user: I64
    entries: Entries
    origin: I64
    """Position among the new readings; -1 for a stored one."""

    def select(self, chosen: Bool) -> "_Rows":
        """The rows where `chosen` is true."""
        return _Rows(self.user[chosen], self.entries.select(chosen), self.origin[chosen])


def merge(profile: Profile, state: Decoded, new: Readings, arrivals: I64, now: int) -> Merged:
    """Merge new readings into stored windows.

    Args:
        profile: Has the plausible range and the tolerance for the future.
        state: Of the users that `new.user` indexes.
        new: Readings, user after user, within a user in any order.
        arrivals: (users,) New readings of each.
        now: The batch's time, microseconds since 1970 UTC.

    Returns:
        The readings to store, in key order, and the reasons for the others.
    """
    users = state.counts.size
    tolerance = round(profile.future_tolerance * SECOND)
    reason = np.zeros(new.time.size, np.uint8)
    if state.failure.any():
        reason[state.failure[new.user] > 0] = Reason.USER_FAILED
    future = new.time > now + tolerance
    if future.any():
        reason[future & (reason == 0)] = Reason.IN_FUTURE
    if state.checkpoints.exists.any():
        checkpoint = state.checkpoints
        absorbed = ~key_above(
            (new.time, new.tag, new.hash),
            tuple(
                column[new.user] for column in (checkpoint.time, checkpoint.tag, checkpoint.hash)
            ),
        )
        reason[(reason == 0) & checkpoint.exists[new.user] & absorbed] = Reason.TOO_LATE

    all_new = live = np.arange(reason.size)
    if reason.any():
        live = np.flatnonzero(reason == 0)
        arrivals = np.bincount(new.user[live], minlength=users)
    rows = _concatenate(state, new, live, arrivals)
    unordered = rows.entries.time[1:] <= rows.entries.time[:-1]
    unordered &= rows.user[1:] == rows.user[:-1]
    if unordered.any():
        rows = _sort(rows, unordered, new.index)
        stored = _first_of_key(rows, reason)
    else:
        stored = np.ones(rows.user.size, np.bool_)
    low, high = profile.range
    plausible = rows.entries.value >= low
    plausible &= rows.entries.value <= high
    if not plausible.all():
        outside = np.flatnonzero(stored & ~plausible & (rows.origin >= 0))
        reason[rows.origin[outside]] = Reason.OUT_OF_RANGE
        stored[outside] = False
    if not stored.all():
        rows = rows.select(stored)
    if state.counts.any():
        fresh = np.bincount(rows.user[rows.origin >= 0], minlength=users) > 0
        fresh |= state.foreign & (state.failure == 0)
        if not fresh.all():
            rows = rows.select(fresh[rows.user])
    counts = np.bincount(rows.user, minlength=users)
    return Merged(reason, counts, rows.entries, rows.origin, rows.origin is all_new)


def _concatenate(state: Decoded, new: Readings, live: I64, arrivals: I64) -> _Rows:
    """Put each user's live readings behind their window."""
    users = state.counts.size
    if live.size < new.time.size:
        new = Readings._make(column[live] for column in new)
    user = new.user.astype(np.int64)
    # + 0.0 turns -0.0 into 0.0. Otherwise bits would depend on which duplicate came first.
    value = new.value + 0.0
    flags = np.zeros(live.size, np.uint8)
    added = Entries(new.time, value, new.source, new.tag, new.hash, flags)
    if not state.counts.any():
        return _Rows(user, added, live)
    counts = state.counts + arrivals
    starts = np.cumsum(counts) - counts
    stored_rows = ranges(starts, state.counts)
    new_rows = ranges(starts + state.counts, arrivals)
    size = stored_rows.size + new_rows.size
    stored: tuple[NDArray[Any], ...] = (*state.entries, np.full(stored_rows.size, -1))
    columns: list[NDArray[Any]] = [np.empty(size, old.dtype) for old in stored]
    for column, old, addition in zip(columns, stored, (*added, live), strict=True):
        column[stored_rows] = old
        column[new_rows] = addition
    *entries, origin = columns
    return _Rows(np.repeat(np.arange(users), counts), Entries(*entries), origin)


def _sort(rows: _Rows, unordered: Bool, index: I64) -> _Rows:
    """Sort each user's readings by key; equal keys by window, then index.

    Most users' readings come in order and after their window, so only the others are moved.

    Args:
        rows: Windows, and after each the new readings.
        unordered: (entries - 1,) Whether the next reading is the same user's and not later.
        index: Rank of the new readings.
    """
    user, entries, origin = rows
    movable = np.zeros(int(user[-1]) + 1, np.bool_)
    movable[user[1:][unordered]] = True
    slots = np.flatnonzero(movable[user])
    rank = np.where(origin[slots] < 0, -1, index[origin[slots]])
    order = _key_order(
        user[slots], entries.time[slots], entries.tag[slots], entries.hash[slots], rank
    )
    moved = slots[order]
    columns: list[NDArray[Any]] = [column.copy() for column in (*entries, origin)]
    for column in columns:
        column[slots] = column[moved]
    *sorted_entries, origin = columns
    return _Rows(user, Entries(*sorted_entries), origin)


def _key_order(user: I64, time: I64, tag: U8, digest: NDArray[np.uint64], rank: I64) -> I64:
    """Sorting permutation by (user, time, tag, hash, rank).

    One integer of user and time sorts several times faster than five columns. The few readings
    that tie on it are sorted by all columns afterwards.
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
        rows = order[tied]
        columns = (rank[rows], digest[rows], tag[rows], time[rows], user[rows])
        order[tied] = rows[np.lexsort(columns)]
    return order


def _first_of_key(rows: _Rows, reason: U8) -> Bool:
    """Find the readings that are the first of their key, and set the others' reasons."""
    user, entries, origin = rows
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


def count_expired(profile: Profile, counts: I64, time: I64) -> I64:
    """Count the readings of each user that leave the window for the checkpoint, oldest first.

    The window holds at most `window.readings` readings, none of them more than `window.days`
    older than the newest.

    Args:
        profile: Has the window's limits.
        counts: (users,) Readings of each, at least 1.
        time: Their times, user after user, ascending within a user.

    Returns:
        (users,) Less than `counts`.
    """
    ends = np.cumsum(counts)
    span = round(profile.window.days * DAY)
    first = ends - counts
    too_many: I64 = np.maximum(counts - profile.window.readings, 0)
    newest = time[ends - 1]
    if not (newest - time[first] > span).any():
        return too_many
    newest = np.repeat(newest, counts)
    # Differences are compared, not sums: near the ends of int64 a sum could wrap.
    aged: I64 = np.add.reduceat((newest - time) > span, first, dtype=np.int64)
    return np.maximum(too_many, aged)
