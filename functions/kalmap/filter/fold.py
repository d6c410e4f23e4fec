"""The fold: new readings into users' states; the one path for ordinary, late and repeated ones.

A user's estimate is a strict left fold, in key order, of the window over the checkpoint. New
readings are merged into the window, all of it is folded, and the checkpoint absorbs the readings
that expire. So the state depends on the readings alone, not on the batches that brought them.

Users are taken in cohorts that fit the processor's cache. A user whose state or data break the
computation fails alone: a cohort that raises is halved until that user is by themselves.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap.filter.bodies import ENTRY_BYTES, Bodies, allocate_bodies, body_sizes
from kalmap.filter.cohort import (
    Cohort,
    Context,
    FoldedUsers,
    Revisions,
    UserOutcomes,
    concat_users,
    fail_user,
    fold_cohort,
)
from kalmap.filter.decisions import Decisions, allocate_decisions
from kalmap.filter.format_one import FORMER_ROWS
from kalmap.filter.forward import Scratch
from kalmap.filter.parameters import parameters_of
from kalmap.profile import Profile, digest
from kalmap.readings import I32, I64, Readings

#: Readings, stored and new, filtered at once: enough that numpy's own cost of a step is small
#: beside the step, few enough for a level-3 cache.
COHORT_READINGS = 262_144


class Folded(NamedTuple):
    """What became of the readings, and of their users."""

    decisions: Decisions
    """(readings,) In the order in which the readings came."""
    users: UserOutcomes
    """(users,) In the order of the bodies."""
    bodies: Bodies
    """(users,) The new state; None where unchanged or failed. Cut out when it is asked for."""
    revisions: Revisions
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
        readings: In any order; `user` indexes `bodies`.
        now: The batch's time, microseconds since 1970 UTC.
        adopt_profile: Continue states that were folded under another profile of this name.

    Returns:
        Decisions in the readings' order, and states in the bodies' order.

    Raises:
        ValueError: A reading's user is not in `bodies`.
    """
    total, users = readings.time.size, len(bodies)
    if total and not (int(readings.user.min()) >= 0 and int(readings.user.max()) < users):
        raise ValueError(f"A reading's user is outside the {users} users that have a body.")
    order = _grouping(readings.user, users)
    if order is not None:
        readings = Readings._make(column[order] for column in readings)
    arrivals = np.bincount(readings.user, minlength=users)
    sizes = body_sizes(bodies)
    # A body of format 1 has the shorter header; for others this is one row too many.
    stored = np.maximum(sizes // ENTRY_BYTES - FORMER_ROWS, 0)
    new_bodies = allocate_bodies(np.minimum(stored + arrivals, profile.window.readings))
    decisions = allocate_decisions(total)
    context = Context(parameters_of(profile), digest(profile), now, adopt_profile, Scratch())
    everyone = Cohort(bodies, arrivals, readings, decisions, new_bodies)

    weight = np.cumsum(arrivals + np.maximum(sizes, 0) // ENTRY_BYTES)
    parts = []
    first = 0
    while first < users:
        done = int(weight[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(weight, done + COHORT_READINGS, "right")))
        parts.append(_fold_isolated(context, everyone.select(first, last)))
        first = last
    folded = concat_users(parts)
    if order is not None:
        rank = np.empty_like(order)
        rank[order] = np.arange(total)
        decisions = decisions.select(rank)
    decisions.derive_status()
    return Folded(decisions, folded.users, new_bodies, folded.revisions, folded.errors)


def _grouping(user: I32, users: int) -> I64 | None:
    """Permutation that brings readings of one user together, in order; None if they are."""
    if not (user[1:] < user[:-1]).any():
        return None
    # numpy sorts 16-bit integers by radix, in linear time.
    order: I64 = np.argsort(user.astype(np.uint16), kind="stable")
    if users > 1 << 16:
        order = order[np.argsort((user[order] >> 16).astype(np.uint16), kind="stable")]
    return order


def _fold_isolated(context: Context, cohort: Cohort) -> FoldedUsers:
    """Fold a cohort; if that raises, its halves, until one user is left who fails alone."""
    users = len(cohort.bodies)
    try:
        with np.errstate(all="ignore"):
            return fold_cohort(context, cohort)
    except Exception as error:  # noqa: BLE001  the boundary that isolates a user
        if users == 1:
            return fail_user(cohort, error)
    middle = users // 2
    halves = (cohort.select(0, middle), cohort.select(middle, users))
    return concat_users([_fold_isolated(context, half) for half in halves])
