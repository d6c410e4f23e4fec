"""A cohort: as many users as fit the processor's cache, folded from stored to new states."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap.filter import codec, window
from kalmap.filter.algebra import LEVEL, P00, SLOPE
from kalmap.filter.bodies import Bodies
from kalmap.filter.columns import REASON_BITS, RESTARTED, Checkpoints, Entries
from kalmap.filter.decisions import Decisions
from kalmap.filter.forward import Scratch, filter_histories
from kalmap.filter.model import MICROSECONDS_PER_DAY
from kalmap.filter.noise import width
from kalmap.filter.offsets import offsets
from kalmap.filter.packed import Histories, Path, Start
from kalmap.filter.parameters import Parameters
from kalmap.outcome import Reason, Status
from kalmap.readings import F64, I32, I64, U8, U64, Bool, Readings

_REASON = np.uint8(REASON_BITS)


class Context(NamedTuple):
    """What the cohorts of a fold have in common."""

    parameters: Parameters
    profile_digest: bytes
    now: int
    """The batch's time, microseconds since 1970 UTC."""
    adopt_profile: bool
    """Continue states that were folded under another profile of this name."""
    scratch: Scratch


class Cohort(NamedTuple):
    """Users, their readings, and where their results go."""

    bodies: Sequence[bytes | None]
    """(users,) Stored states; None for a new user."""
    arrivals: I64
    """(users,) New readings of each."""
    readings: Readings
    """New readings, user after user, within a user in any order."""
    decisions: Decisions
    """Views that get the readings' decisions, in their order."""
    new_bodies: Bodies
    """A view that gets the new states."""

    def select(self, first: int, last: int) -> "Cohort":
        """The users from `first` up to `last`, not included."""
        users = slice(first, last)
        edges = np.array((first, last), np.int32)
        low, high = np.searchsorted(self.readings.user, edges).tolist()
        readings = Readings._make(column[low:high] for column in self.readings)
        return Cohort(
            self.bodies[users],
            self.arrivals[users],
            readings._replace(user=readings.user - np.int32(first)),
            self.decisions.select(slice(low, high)),
            self.new_bodies[users],
        )


class UserOutcomes(NamedTuple):
    """What became of each user; arrays of shape (users,)."""

    changed: Bool
    """There is a new state."""
    new: Bool
    """Had no state and has one now."""
    failure: U8
    """Reason, or 0."""
    level: F64
    """Level at the newest reading; NaN where unchanged or failed."""
    slope: F64
    as_of: I64
    """Microseconds since 1970 UTC; 0 where unchanged or failed."""


class Revisions(NamedTuple):
    """Stored readings whose decision was changed by a late one; arrays of shape (revisions,)."""

    user: I32
    time: I64
    value: F64
    tag: U8
    hash: U64
    old_status: U8
    old_reason: U8
    new_status: U8
    new_reason: U8


class FoldedUsers(NamedTuple):
    """What became of a cohort's users."""

    users: UserOutcomes
    revisions: Revisions
    errors: dict[int, str]
    """What stopped each user that failed by an exception."""


class _Folding(NamedTuple):
    """The readings to be folded of those users that have any, and their path."""

    users: I64
    """(active,) Their positions in the cohort."""
    start: Checkpoints
    """(active,) Their checkpoints."""
    counts: I64
    """(active,) Readings of each."""
    entries: Entries
    """The readings, user after user in key order, with the flags decided before."""
    origin: I64
    """(entries,) Position among the new readings; -1 for a stored one."""
    expired: I64
    """(active,) How many of its readings the checkpoint absorbs."""
    path: Path
    flags: U8
    """(entries,) The flags decided now."""


def fold_cohort(context: Context, cohort: Cohort) -> FoldedUsers:
    """Fold a cohort of users.

    Raises:
        ArithmeticError: Some user's estimate is not finite.
    """
    parameters, decisions = context.parameters, cohort.decisions
    profile, readings = parameters.profile, cohort.readings
    states = codec.decode(cohort.bodies, context.profile_digest, adopt=context.adopt_profile)
    merged = window.merge(profile, states, readings, cohort.arrivals, context.now)
    users, revisions = _allocate_users(states.failure), concat_revisions([])
    active = np.flatnonzero(merged.counts)
    if active.size:
        start, counts, entries = states.checkpoints, merged.counts[active], merged.entries
        if active.size < merged.counts.size:
            start = start.select(active)
        expired = window.count_expired(profile, counts, entries.time)
        path = run_filter(parameters, start, counts, entries, record_after=expired,
                          scratch=context.scratch)  # fmt: skip
        # One NaN or infinity among the estimates makes their sum one too.
        if not np.isfinite(path.estimate.sum()):
            raise ArithmeticError("the estimate left the range of floating-point numbers")
        flags = path.flags.take(path.position, mode="clip")
        folding = _Folding(active, start, counts, entries, merged.origin, expired, path, flags)
        _report(parameters, readings, merged, folding, decisions)
        if states.counts.any():
            revisions = _revisions(folding)
        _encode(context, cohort, folding)
        final = path.position[np.cumsum(counts) - 1]
        users.changed[active] = True
        users.new[active] = states.counts[active] == 0
        users.level[active] = path.estimate[LEVEL, final]
        users.slope[active] = path.estimate[SLOPE, final]
        users.as_of[active] = entries.time[np.cumsum(counts) - 1]
    else:
        decisions.reason[:] = merged.reason
        decisions.clear(slice(None))
    if states.failure.any():
        failure = states.failure[readings.user]
        decisions.reason[failure > 0] = failure[failure > 0]
    return FoldedUsers(users, revisions, {})


def fail_user(cohort: Cohort, error: Exception) -> FoldedUsers:
    """The decisions of a cohort of one user whose fold raised."""
    cohort.decisions.reason[:] = Reason.USER_FAILED
    cohort.decisions.clear(slice(None))
    cohort.new_bodies.rows[:] = 0
    users = _allocate_users(np.full(1, Reason.USER_FAILED, np.uint8))
    return FoldedUsers(users, concat_revisions([]), {0: f"{type(error).__name__}: {error}"})


def _allocate_users(failure: U8) -> UserOutcomes:
    """Decisions of users without a new state, to be filled in for those who get one."""
    size = failure.size
    changed, new = np.zeros((2, size), np.bool_)
    level, slope = np.full((2, size), np.nan)
    return UserOutcomes(changed, new, failure, level, slope, np.zeros(size, np.int64))


def concat_revisions(parts: Sequence[Revisions]) -> Revisions:
    """Several revisions as one, in their order."""
    if parts:
        return Revisions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    kinds = ("i4", "i8", "f8", "u1", "u8", "u1", "u1", "u1", "u1")
    return Revisions(*(np.zeros(0, kind) for kind in kinds))


def concat_users(parts: Sequence[FoldedUsers]) -> FoldedUsers:
    """The users of several cohorts, one after the other, as one."""
    first, revisions, errors = 0, [], {}
    users = [_allocate_users(np.zeros(0, np.uint8))]
    for part in parts:
        if part.revisions.user.size:
            shifted = part.revisions.user + np.int32(first)
            revisions.append(part.revisions._replace(user=shifted))
        errors.update({first + user: text for user, text in part.errors.items()})
        first += part.users.changed.size
        users.append(part.users)
    columns = (np.concatenate(column) for column in zip(*users, strict=True))
    return FoldedUsers(UserOutcomes(*columns), concat_revisions(revisions), errors)


def histories_of(
    parameters: Parameters, start: Checkpoints, counts: I64, entries: Entries
) -> Histories:
    """The readings of users as the filter takes them; see `run_filter`."""
    first = np.cumsum(counts) - counts
    gap = np.empty(entries.time.size)
    np.subtract(entries.time[1:], entries.time[:-1], out=gap[1:], casting="unsafe")
    gap[first] = np.where(start.exists, entries.time[first] - start.time, 0)
    gap /= MICROSECONDS_PER_DAY
    value, added = entries.value, offsets(parameters.profile, entries.time, entries.source)
    return Histories(counts, gap, value if added is None else value - added, entries.source)


def run_filter(
    parameters: Parameters,
    start: Checkpoints,
    counts: I64,
    entries: Entries,
    *,
    record_after: I64,
    scratch: Scratch | None = None,
) -> Path:
    """Filter the readings of users, each from their checkpoint.

    Args:
        parameters: The profile's numbers.
        start: (users,) Their checkpoints.
        counts: (users,) Readings of each, at least 1.
        entries: The readings, user after user in key order.
        record_after: (users,) After how many readings to record the belief.
        scratch: Memory for the path.
    """
    return filter_histories(
        parameters,
        histories_of(parameters, start, counts, entries),
        Start(start.exists, start.belief, record_after),
        scratch,
    )


def _report(
    parameters: Parameters,
    readings: Readings,
    merged: window.Merged,
    folding: _Folding,
    decisions: Decisions,
) -> None:
    """Write estimates and decisions of the new readings, in their order."""
    reason, origin, path = merged.reason, merged.origin, folding.path
    if merged.only_new:
        position, flags = path.position, folding.flags
    else:
        arrived = np.flatnonzero(origin >= 0)
        position = np.zeros(reason.size, np.int64)
        position[origin[arrived]] = path.position[arrived]
        flags = np.zeros(reason.size, np.uint8)
        flags[origin[arrived]] = folding.flags[arrived]
    # mode="clip" spares numpy a buffer; no position is outside.
    for column, source in (
        (decisions.level, path.estimate[LEVEL]),
        (decisions.level_sd, path.estimate[P00]),
        (decisions.slope, path.estimate[SLOPE]),
        (decisions.predicted, path.predicted),
        (decisions.nis, path.nis),
        (decisions.quality, path.wrong),
    ):
        np.take(source, position, out=column, mode="clip")
    np.sqrt(decisions.level_sd, out=decisions.level_sd)
    wider = width(parameters, path.readings)[position]
    np.multiply(decisions.level_sd, wider, out=decisions.level_sd)
    np.subtract(1.0, decisions.quality, out=decisions.quality)
    np.subtract(readings.value, decisions.predicted, out=decisions.innovation)
    added = offsets(parameters.profile, readings.time, readings.source)
    if added is not None:
        np.subtract(decisions.innovation, added, out=decisions.innovation)
    np.bitwise_or(reason, flags & _REASON, out=decisions.reason)
    np.greater(flags & np.uint8(RESTARTED), 0, out=decisions.restarted)
    if not merged.only_new:
        decisions.clear(np.flatnonzero(reason))


def _revisions(folding: _Folding) -> Revisions:
    """The stored readings whose decision has changed."""
    old, new = folding.entries.flags & _REASON, folding.flags & _REASON
    revised = np.flatnonzero((folding.origin < 0) & (old != new))
    if not revised.size:
        return concat_revisions([])
    user = np.repeat(folding.users, folding.counts)[revised].astype(np.int32)
    entries, old, new = folding.entries.select(revised), old[revised], new[revised]
    rejected, accepted = np.uint8(Status.REJECTED), np.uint8(Status.ACCEPTED)
    return Revisions(
        user,
        entries.time,
        entries.value,
        entries.tag,
        entries.hash,
        np.where(old > 0, rejected, accepted),
        old,
        np.where(new > 0, rejected, accepted),
        new,
    )


def _encode(context: Context, cohort: Cohort, folding: _Folding) -> None:
    """Move the checkpoints, cut the windows, and encode the new states."""
    start, counts, expired, path = folding.start, folding.counts, folding.expired, folding.path
    entries, ends = folding.entries, np.cumsum(counts)
    moved = np.flatnonzero(expired)
    if moved.size:
        last = (ends - counts + expired - 1)[moved]
        start.exists[moved] = True
        start.time[moved] = entries.time[last]
        start.tag[moved] = entries.tag[last]
        start.hash[moved] = entries.hash[last]
    checkpoints = start._replace(**path.recorded._asdict())
    # Each of these users has a reading stored that was not, or another digest: a new state.
    windows = codec.Windows(
        counts - expired, ends - counts + expired, entries._replace(flags=folding.flags)
    )
    everyone = folding.users.size == len(cohort.bodies)
    codec.encode_into(
        cohort.new_bodies,
        None if everyone else folding.users,
        checkpoints,
        windows,
        context.profile_digest,
    )
