"""What a stored state says: its estimate, predictions, and a readable view."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap.errors import InvalidInput
from kalmap.filter import algebra, codec
from kalmap.filter.algebra import LEVEL, P00, P11, SLOPE, Estimate
from kalmap.filter.cohort import histories_of, run_filter
from kalmap.filter.columns import REASON_BITS, WEIGHT, Belief, Decoded
from kalmap.filter.course import OneUser
from kalmap.filter.model import MICROSECONDS_PER_DAY, transition
from kalmap.filter.noise import squarings_of, width
from kalmap.filter.parameters import Parameters, parameters_of
from kalmap.filter.smoother import smooth
from kalmap.outcome import Reason
from kalmap.profile import Profile, digest
from kalmap.readings import F64, I64, U8


class WindowReading(msgspec.Struct, frozen=True):
    """A reading of a user's window; `u` is the profile's unit."""

    time: int
    """Microseconds since 1970 UTC."""
    value: float
    """u"""
    reason: Reason
    """Why it was rejected; NONE if it was accepted."""
    level_smoothed: float
    """u, the level at its time in the light of all readings, later ones too."""
    level_smoothed_sd: float


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
    noise: float
    """Standard deviation of the user's readings from a source with multiplier 1, u."""
    other_level: float | None
    """Level under the second likeliest hypothesis; None where one is left."""
    other_share: float
    """Its probability."""
    window_readings: list[WindowReading]
    """In key order."""


class NewestEstimates(NamedTuple):
    """Estimates of users at their newest stored reading."""

    estimate: F64
    """(5, users) LEVEL, SLOPE, P00, P01, P11 of all hypotheses together."""
    as_of: I64
    """(users,) Microseconds since 1970 UTC."""
    flags: U8
    """(window readings,) What was decided about each."""
    wrong: F64
    """(window readings,) Probability that each is wrong."""
    belief: Belief
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
    flags, wrong = path.flags[path.position], path.wrong[path.position]
    return NewestEstimates(estimate, entries.time[newest], flags, wrong, path.recorded, states)


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
    if at < newest.as_of[0]:
        raise InvalidInput("A prediction is for a time at or after the state's newest reading.")
    level, level_sd, slope = predict_users(profile, newest, np.array([at]))[:, 0].tolist()
    return level, level_sd, slope


def predict_users(profile: Profile, newest: NewestEstimates, at: I64) -> F64:
    """Predict the levels of users from their newest estimates.

    Args:
        profile: The one that the states were folded under.
        newest: The estimates.
        at: (users,) Microseconds since 1970 UTC, not before the newest reading of each.

    Returns:
        (3, users) Level, its standard deviation, and slope per day, in the profile's unit.
    """
    step = transition(profile, (at - newest.as_of) / MICROSECONDS_PER_DAY)
    predicted = algebra.predict(Estimate[F64](*newest.estimate), step)
    level_sd = np.sqrt(predicted.p00) * width(parameters_of(profile), newest.belief.readings)
    return np.stack((predicted.level, level_sd, predicted.slope))


def standard_deviations(profile: Profile, newest: NewestEstimates) -> F64:
    """Standard deviations at users' newest readings.

    Args:
        profile: The one that the states were folded under.
        newest: The estimates.

    Returns:
        (2, users) Of the level, and of the slope per day, in the profile's unit.
    """
    wider = width(parameters_of(profile), newest.belief.readings)
    return np.asarray(np.sqrt(newest.estimate[[P00, P11]]) * wider)


def describe(body: bytes, profile: Profile) -> StateView:
    """Describe a stored state in readable fields, at its newest reading.

    Args:
        body: The state.
        profile: Normally the one that the state was folded under.

    Raises:
        InvalidInput: The body is not a sound state.
    """
    newest = newest_estimates(profile, [body])
    belief, start, entries = newest.belief, newest.states.checkpoints, newest.states.entries
    exists = bool(start.exists[0])
    level_sd, slope_sd = standard_deviations(profile, newest)
    weights = belief.others[:, WEIGHT, 0]
    return StateView(
        profile_digest=codec.profile_digest_of(body).hex(),
        level=float(newest.estimate[LEVEL, 0]),
        level_sd=float(level_sd[0]),
        slope=float(newest.estimate[SLOPE, 0]),
        slope_sd=float(slope_sd[0]),
        as_of=int(newest.as_of[0]),
        window=entries.time.size,
        rejected=int(np.count_nonzero(entries.flags & REASON_BITS)),
        checkpoint_time=int(start.time[0]) if exists else None,
        checkpoint_level=float(start.estimate[LEVEL, 0]) if exists else None,
        noise=float(profile.measurement_noise * np.sqrt(belief.scale[0])),
        other_level=float(belief.others[0, LEVEL, 0]) if weights[0] > 0.0 else None,
        other_share=float(weights[0] / (1.0 + weights.sum())),
        window_readings=_window_readings(parameters_of(profile), newest),
    )


def _window_readings(parameters: Parameters, newest: NewestEstimates) -> list[WindowReading]:
    """The readings of the only user's window, smoothed."""
    states, belief = newest.states, newest.belief
    start, entries = states.checkpoints, states.entries
    histories = histories_of(parameters, start, states.counts, entries)
    readings = OneUser(
        histories.gap,
        histories.value,
        parameters.variances[entries.source] * belief.scale,
        int(squarings_of(parameters, belief.readings)[0]),
    )
    before = Estimate[float](*start.estimate[:, 0].tolist()) if start.exists[0] else None
    with np.errstate(all="ignore"):
        smoothed = smooth(parameters, readings, newest.flags, before)
    sd = np.sqrt(smoothed[P00]) * width(parameters, belief.readings)
    reasons = newest.flags & REASON_BITS
    columns = (entries.time, entries.value, reasons, smoothed[LEVEL], sd)
    return [
        WindowReading(time, value, Reason(reason), level, level_sd)
        for time, value, reason, level, level_sd in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]
