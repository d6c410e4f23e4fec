"""The fold: new readings into users' states; the one path for ordinary, late and repeated ones.

A user's estimate is a strict left fold, in key order, of the window over the checkpoint. New
readings are merged into the window, all of it is folded, and the checkpoint absorbs what falls
out. So the state depends on the readings alone, not on the batches that brought them.

Users are taken in cohorts that fit the processor's cache. One whose state or data break the
computation fails alone: a cohort that raises is halved until he stands by himself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap.filter import cohort, gate
from kalmap.filter.bodies import ENTRY_BYTES, HEADER_BYTES, Bodies, room, sizes
from kalmap.filter.forward import Scratch
from kalmap.filter.state import predict
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile, digest
from kalmap.readings import F64, I32, I64, U8, Bool, Readings

__all__ = ["Folded", "fold_users", "predict"]

#: Readings, stored and new, filtered at once: enough that numpy's own cost of a step is small
#: beside the step, few enough for a level-3 cache.
COHORT_READINGS = 131_072

_STATUS = np.full(256, Status.REJECTED, np.uint8)
_STATUS[Reason.NONE] = Status.ACCEPTED
_STATUS[Reason.DUPLICATE] = Status.DUPLICATE
_STATUS[[Reason.CORRUPT_STATE, Reason.PROFILE_CHANGED, Reason.USER_FAILED]] = Status.FAILED


class Folded(NamedTuple):
    """What became of the readings, and of their users."""

    status: U8
    """(readings,) Codes of outcome.Status; like all below in the order the readings came."""
    reason: U8
    """Codes of outcome.Reason."""
    level: F64
    """Level after the reading, in the profile's unit; NaN, as all estimates, where the reading
    was never folded."""
    level_sd: F64
    slope: F64
    """Per day."""
    predicted: F64
    """Level expected before the reading; NaN, with innovation and nis, for a user's first."""
    innovation: F64
    nis: F64
    quality: F64
    rate: F64
    """Squared distance from the last estimate over the allowed one, for quality.components."""
    restarted: Bool
    """The reading completed a recovery: the filter started again at its level."""
    bodies: Bodies
    """(users,) The new state; None where unchanged or failed. Cut out when it is asked for."""
    changed: Bool
    failure: U8
    """(users,) Reason, or 0."""
    new: Bool
    """(users,) Had no state and has one now."""
    user_level: F64
    """(users,) The readable estimate; NaN where unchanged or failed."""
    user_slope: F64
    as_of: I64
    """(users,) Microseconds since 1970 UTC; 0 where unchanged or failed."""
    revisions: cohort.Revisions
    errors: dict[int, str]
    """What stopped each user that failed by an exception."""


def fold_users(
    profile: Profile,
    bodies: Sequence[bytes | None],
    readings: Readings,
    now: int,
    *,
    adopt_profile: bool = False,
) -> Folded:
    """Fold new readings into the states of many users.

    Args:
        profile: Model and policy.
        bodies: Stored state of each user; None for a new one.
        readings: In any order; `user` counts `bodies`.
        now: The batch's time, microseconds since 1970 UTC.
        adopt_profile: Go on with states folded under another profile of this name.

    Returns:
        Results in the readings' order, and states in the bodies' order.

    Raises:
        ValueError: A reading's user is none of `bodies`.
    """
    total, users = readings.time.size, len(bodies)
    if total and not (int(readings.user.min()) >= 0 and int(readings.user.max()) < users):
        raise ValueError(f"Readings name users outside the {users} whose states were given.")
    order = _grouping(readings.user, users)
    if order is not None:
        readings = Readings._make(column[order] for column in readings)
    arrivals = np.bincount(readings.user, minlength=users)
    lengths = sizes(bodies)
    ends = np.cumsum(arrivals)
    weight = np.cumsum(arrivals + np.maximum(lengths, 0) // ENTRY_BYTES)

    results = cohort.no_results(total)
    stored = np.maximum(lengths - HEADER_BYTES, 0) // ENTRY_BYTES
    written = room(np.minimum(stored + arrivals, profile.window.readings))
    parts = [cohort.unchanged(np.zeros(0, np.uint8))]
    rule, mark, scratch = gate.rules(profile), digest(profile), Scratch()
    first = 0
    while first < users:
        done = int(weight[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(weight, done + COHORT_READINGS, "right")))
        some = slice(int(ends[first - 1]) if first else 0, int(ends[last - 1]))
        new = Readings._make(column[some] for column in readings)
        new = new._replace(user=new.user - np.int32(first))
        parts.append(
            _guarded(
                profile,
                rule,
                mark,
                bodies[first:last],
                new,
                arrivals[first:last],
                now,
                results.part(some),
                written[first:last],
                scratch,
                adopt_profile=adopt_profile,
            )
        )
        first = last
    states = cohort.appended(parts)
    if order is not None:
        back = np.empty_like(order)
        back[order] = np.arange(total)
        results = results.part(back)

    # Most reasons are 0 or a rejection's: the table is for the few others.
    status = np.minimum(results.reason, np.uint8(Status.REJECTED))
    others = np.flatnonzero(results.reason >= Reason.DUPLICATE)
    status[others] = _STATUS[results.reason[others]]
    return Folded(
        status=status,
        **results._asdict(),
        bodies=written,
        changed=states.changed,
        failure=states.failure,
        new=states.changed & (lengths < 0),
        user_level=states.level,
        user_slope=states.slope,
        as_of=states.as_of,
        revisions=states.revisions,
        errors=states.errors,
    )


def _grouping(user: I32, users: int) -> I64 | None:
    """Permutation that brings readings of one user together, in order; None if they are."""
    if not (user[1:] < user[:-1]).any():
        return None
    # numpy sorts 16-bit integers by radix, in linear time.
    order: I64 = np.argsort(user.astype(np.uint16), kind="stable")
    if users > 1 << 16:
        order = order[np.argsort((user[order] >> 16).astype(np.uint16), kind="stable")]
    return order


def _guarded(
    profile: Profile,
    rule: gate.Rules,
    mark: bytes,
    bodies: Sequence[bytes | None],
    new: Readings,
    arrivals: I64,
    now: int,
    results: cohort.Results,
    written: Bodies,
    scratch: Scratch,
    *,
    adopt_profile: bool,
) -> cohort.States:
    """Fold a cohort; if that raises, its halves, until one user is left who fails alone."""
    try:
        with np.errstate(all="ignore"):
            return cohort.fold_cohort(
                profile,
                rule,
                mark,
                bodies,
                new,
                arrivals,
                now,
                results,
                written,
                scratch,
                adopt_profile=adopt_profile,
            )
    except Exception as error:  # noqa: BLE001  the boundary that isolates a user
        if len(bodies) == 1:
            return cohort.failed(error, results, written)
    middle = len(bodies) // 2
    split = int(np.searchsorted(new.user, middle))
    low = Readings._make(column[:split] for column in new)
    high = Readings._make(column[split:] for column in new)
    high = high._replace(user=high.user - np.int32(middle))
    halves = (
        (slice(None, middle), low, results.part(slice(None, split))),
        (slice(middle, None), high, results.part(slice(split, None))),
    )
    return cohort.appended(
        [
            _guarded(
                profile,
                rule,
                mark,
                bodies[half],
                some,
                arrivals[half],
                now,
                room,
                written[half],
                scratch,
                adopt_profile=adopt_profile,
            )
            for half, some, room in halves
        ]
    )
