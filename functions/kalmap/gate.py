"""The gate: what happens to a reading that does not fit, and how the filter finds back.

A reading is rejected where it lies further from the last estimate than the profile's rate limit
and both uncertainties allow (`implausible_rate`), or where its normalised innovation squared
exceeds the gate (`outlier`). If it would have fitted in another unit it is `unit_suspect`.

Rejected readings feed a recovery candidate: a second filter, started at a rejected reading.
Each further one that passes the candidate's gate is folded into it; one that does not starts
a new candidate; an accepted reading ends it. When enough agree, the estimate becomes the
candidate's. A level that is the old one in another unit is the exception: there the unit is
wrong, not the level, unless the old level never had as many readings behind it itself.

Only the few rejected readings come here, gathered from wherever they are.
"""

from typing import NamedTuple

import numpy as np

from kalmap.codec import RESTARTED
from kalmap.model import Transition
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, I64, U8, Bool
from kalmap.units import mix_ups


class Rules(NamedTuple):
    """The profile's numbers as the filter uses them."""

    gate: float
    rate_limit: float
    recovery: int
    slope_variance: float
    ratios: tuple[float, ...]


class Recovery(NamedTuple):
    """Per user: what would be believed instead."""

    candidate: F64
    """(5, users) Level, slope, p00, p01, p11; zeros where there is none."""
    agreeing: U8
    """(users,) Rejected readings folded into the candidate."""
    support: U8
    """(users,) Accepted readings since the filter (re)started, at most the rule's number."""


def rules(profile: Profile) -> Rules:
    """The profile's numbers as the filter uses them."""
    # A ratio that throws even the widest value out of the range can never bring one back.
    widest = max(abs(end) for end in profile.range)
    nearest = min(abs(end) for end in profile.range) if profile.range[0] > 0.0 else 0.0
    return Rules(
        profile.gate,
        profile.rate_limit,
        profile.recovery,
        profile.slope_prior * profile.slope_prior,
        tuple(
            ratio
            for ratio in mix_ups(profile.unit)
            if widest * ratio >= nearest and nearest * ratio <= widest
        ),
    )


def fits_in_another_unit(rule: Rules, value: F64, predicted: F64, variance: F64) -> Bool:
    """Whether a value, multiplied by a known unit ratio, passes the gate.

    Args:
        rule: Gives the gate and the ratios.
        value: (n,) Readings or levels.
        predicted: (n,) Levels they are compared with.
        variance: (n,) Innovation variances S.

    Returns:
        (n,) False also where the predicted level is itself not distinguishable from zero: there
        every small ratio would fit.
    """
    allowed = rule.gate * variance
    fits = np.zeros(value.shape, np.bool_)
    for ratio in rule.ratios:
        miss = value * ratio - predicted
        fits |= miss * miss <= allowed
    return fits & (predicted * predicted > allowed)


def reconsider(
    rule: Rules,
    recovery: Recovery,
    users: I64,
    value: F64,
    noise: F64,
    predicted: F64,
    variance: F64,
    too_fast: Bool,
    step: Transition,
) -> tuple[U8, I64]:
    """Name each rejected reading's reason and advance its user's recovery, in place.

    Args:
        rule: The profile's numbers.
        recovery: Of all users; those in `users` are changed.
        users: (n,) Whose reading was rejected; without repetition.
        value: (n,) The readings.
        noise: (n,) Their variances R.
        predicted: (n,) Levels that were predicted.
        variance: (n,) Innovation variances S.
        too_fast: (n,) Where the rate limit was broken.
        step: (n,) Transitions from each user's reading before.

    Returns:
        Marks (reason and restarted) of the readings, and the positions in `users` where
        the estimate is to become the candidate as it now stands; `restarted` says so.
    """
    suspect = fits_in_another_unit(rule, value, predicted, variance)
    mark = np.where(too_fast, np.uint8(Reason.IMPLAUSIBLE_RATE), np.uint8(Reason.OUTLIER))
    mark[suspect] = Reason.UNIT_SUSPECT

    settled = recovery.support[users] >= rule.recovery
    counts = ~(suspect & settled)
    agreeing = recovery.agreeing[users]
    level, slope, p00, p01, p11 = recovery.candidate[:, users]
    level += step.gain * slope
    slope *= step.decay
    moved = p01 + step.gain * p11
    p00 += step.gain * (p01 + moved)
    p01 = step.decay * moved
    p11 = step.decay * (step.decay * p11)
    tracked = agreeing > 0
    p00 += np.where(tracked, step.q00, 0.0)
    p01 += np.where(tracked, step.q01, 0.0)
    p11 += np.where(tracked, step.q11, 0.0)

    innovation = value - level
    inverse = 1.0 / (p00 + noise)
    agrees = counts & tracked & (innovation * innovation * inverse <= rule.gate)
    weight = noise * inverse
    gain0, gain1 = p00 * inverse, p01 * inverse
    ratio = p01 / np.where(tracked, p00, 1.0)
    new01 = p01 * weight
    new11 = np.maximum(p11 - ratio * p01, 0.0) + ratio * new01
    anew = counts & ~agrees
    zero = np.zeros_like(value)
    candidate = np.where(
        agrees,
        (
            level + gain0 * innovation,
            slope + gain1 * innovation,
            p00 * weight,
            new01,
            new11,
        ),
        np.where(
            anew,
            (value, zero, noise, zero, np.full_like(value, rule.slope_variance)),
            (level, slope, p00, p01, p11),
        ),
    )
    agreeing = np.where(agrees, np.minimum(agreeing + 1, rule.recovery), agreeing)
    agreeing[anew] = 1

    ready = counts & (agreeing >= rule.recovery)
    if ready.any():
        other_unit = settled & fits_in_another_unit(rule, candidate[0], predicted, variance)
        mark[ready & other_unit] = Reason.UNIT_SUSPECT
        ready &= ~other_unit
        mark[ready] = RESTARTED
    recovery.candidate[:, users] = candidate
    recovery.agreeing[users] = agreeing
    return mark, np.flatnonzero(ready)
