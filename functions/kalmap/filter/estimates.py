"""What a stored state says: its estimate, predictions, and a readable view."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap.errors import InvalidInput
from kalmap.filter import algebra, codec
from kalmap.filter.algebra import LEVEL, Estimate
from kalmap.filter.cohort import run_filter
from kalmap.filter.columns import REASON_BITS, Decoded, Recovery
from kalmap.filter.model import MICROSECONDS_PER_DAY, transition
from kalmap.filter.parameters import parameters_of
from kalmap.profile import Profile, digest
from kalmap.readings import F64, I64


class StateView(msgspec.Struct, frozen=True, kw_only=True):
    """One user's state in readable fields; `u` is the profile's unit."""

    profile_digest: str
    """Hexadecimal digest of the profile the state was folded under."""
    level: float
    """u, after the newest reading."""
    level_sd: float
    slope: float
    """u/day."""
    slope_sd: float
    as_of: int
    """Time of the newest stored reading, microseconds since 1970 UTC."""
    window: int
    """Readings in the window."""
    rejected: int
    """How many of them were rejected."""
    checkpoint_time: int | None
    """Time of the last reading absorbed; None if there is no checkpoint yet.

    Readings up to its key come too late.
    """
    checkpoint_level: float | None
    candidate_level: float | None
    """Level that rejected readings agree on so far; None where there is none."""
    candidate_readings: int


class NewestEstimates(NamedTuple):
    """Estimates of users at their newest stored reading."""

    estimate: F64
    """(5, users) LEVEL, SLOPE, P00, P01, P11."""
    as_of: I64
    """(users,) Microseconds since 1970 UTC."""
    recovery: Recovery
    states: Decoded


def newest_estimates(profile: Profile, bodies: Sequence[bytes]) -> NewestEstimates:
    """Fold stored windows to their newest reading, under any profile.

    Raises:
        InvalidInput: A body is not a sound state.
    """
    states = codec.decode(bodies, digest(profile), adopt=True)
    broken = np.flatnonzero(states.failure)
    if broken.size:
        raise InvalidInput(
            f"The stored state at position {broken[0]} is not sound: it was cut off or altered."
        )
    counts, entries = states.counts, states.entries
    with np.errstate(all="ignore"):
        path = run_filter(
            parameters_of(profile), states.checkpoints, counts, entries, record_after=counts
        )
    newest = np.cumsum(counts) - 1
    estimate = path.estimate[:, path.position[newest]]
    return NewestEstimates(estimate, entries.time[newest], path.recovery, states)


def predict(profile: Profile, body: bytes, at: int) -> tuple[float, float, float]:
    """Predict a user's level, its standard deviation and the slope.

    Args:
        profile: The one that the state was folded under.
        body: A stored state.
        at: Microseconds since 1970 UTC, not before the state's newest reading.

    Returns:
        (level, level_sd, slope) in the profile's unit, slope per day.

    Raises:
        InvalidInput: The body is not a sound state, or `at` lies before its newest reading.
    """
    newest = newest_estimates(profile, [body])
    gap = at - int(newest.as_of[0])
    if gap < 0:
        raise InvalidInput("A prediction is for a time at or after the state's newest reading.")
    step = transition(profile, np.array([gap / MICROSECONDS_PER_DAY]))
    predicted = algebra.predict(Estimate[F64](*newest.estimate), step)
    level_sd = np.sqrt(predicted.p00)
    return float(predicted.level[0]), float(level_sd[0]), float(predicted.slope[0])


def describe(body: bytes, profile: Profile) -> StateView:
    """Describe a stored state in readable fields, at its newest reading.

    Args:
        body: The state.
        profile: Normally the one that the state was folded under.

    Raises:
        InvalidInput: The body is not a sound state.
    """
    newest = newest_estimates(profile, [body])
    estimate = Estimate[float](*newest.estimate[:, 0].tolist())
    start, entries = newest.states.checkpoints, newest.states.entries
    exists = bool(start.exists[0])
    agreeing = int(newest.recovery.agreeing[0])
    return StateView(
        profile_digest=codec.profile_digest_of(body).hex(),
        level=estimate.level,
        level_sd=float(np.sqrt(estimate.p00)),
        slope=estimate.slope,
        slope_sd=float(np.sqrt(estimate.p11)),
        as_of=int(newest.as_of[0]),
        window=entries.time.size,
        rejected=int(np.count_nonzero(entries.flags & REASON_BITS)),
        checkpoint_time=int(start.time[0]) if exists else None,
        checkpoint_level=float(start.estimate[LEVEL, 0]) if exists else None,
        candidate_level=float(newest.recovery.candidate[LEVEL, 0]) if agreeing else None,
        candidate_readings=agreeing,
    )
