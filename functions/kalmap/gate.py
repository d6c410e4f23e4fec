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
    ratios: F64
    """(ratios,) By which a value in a mistaken unit is wrong."""


class Columns(NamedTuple):
    """Packed inputs of the filter, each of shape (readings,)."""

    value: F64
    noise: F64
    """R."""
    reach: F64
    """(rate limit x gap)^2 + gate x R: the part of the rate bound known beforehand."""
    step: Transition


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
    # A ratio beyond that of the range's ends brings no value in it to a level in it.
    widest = max(abs(end) for end in profile.range)
    nearest = max(profile.range[0], 1e-6 * widest)
    return Rules(
        profile.gate,
        profile.rate_limit,
        profile.recovery,
        profile.slope_prior * profile.slope_prior,
        np.array([r for r in mix_ups(profile.unit) if nearest / widest <= r <= widest / nearest]),
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
    miss = np.multiply.outer(rule.ratios, value)
    miss -= predicted
    miss *= miss
    fits: Bool = np.logical_or.reduce(miss <= allowed, axis=0)
    fits &= predicted * predicted > allowed
    return fits


def reconsider(
    rule: Rules,
    recovery: Recovery,
    columns: Columns,
    users: I64,
    places: I64,
    prior: F64,
    rate: F64,
) -> tuple[U8, I64]:
    """Name each rejected reading's reason and advance its user's recovery, in place.

    Args:
        rule: The profile's numbers.
        recovery: Of all users; those in `users` are changed.
        columns: The readings.
        users: (n,) Whose reading was rejected; without repetition.
        places: (n,) Where that reading is in `columns`.
        prior: (5, n) Level, slope, p00, p01, p11 that were predicted.
        rate: (n,) Squared distance from the last estimate over the allowed one.

    Returns:
        Marks (reason and restarted) of the readings, and the positions in `users` where
        the estimate is to become the candidate as it now stands; `restarted` says so.
    """
    value, noise = columns.value[places], columns.noise[places]
    predicted = prior[0]
    variance = prior[2] + noise
    suspect = fits_in_another_unit(rule, value, predicted, variance)
    mark = np.where(rate > 1.0, np.uint8(Reason.IMPLAUSIBLE_RATE), np.uint8(Reason.OUTLIER))
    mark[suspect] = Reason.UNIT_SUSPECT

    settled = recovery.support[users] >= rule.recovery
    counts = ~(suspect & settled)
    agreeing = recovery.agreeing[users]
    tracked = np.flatnonzero(agreeing)
    anew = counts.copy()
    if tracked.size:
        agrees = _follow(
            rule,
            recovery,
            users[tracked],
            value[tracked],
            noise[tracked],
            counts[tracked],
            Transition._make(part[places[tracked]] for part in columns.step),
        )
        anew[tracked[agrees]] = False
        agreeing[tracked[agrees]] = np.minimum(agreeing[tracked[agrees]] + 1, rule.recovery)
    started = users[anew]
    recovery.candidate[1, started] = recovery.candidate[3, started] = 0.0
    recovery.candidate[0, started] = value[anew]
    recovery.candidate[2, started] = noise[anew]
    recovery.candidate[4, started] = rule.slope_variance
    agreeing[anew] = 1
    recovery.agreeing[users] = agreeing

    ready = np.flatnonzero(counts & (agreeing >= rule.recovery))
    if ready.size:
        level = recovery.candidate[0, users[ready]]
        same = fits_in_another_unit(rule, level, predicted[ready], variance[ready])
        same &= settled[ready]
        mark[ready[same]] = Reason.UNIT_SUSPECT
        ready = ready[~same]
        mark[ready] = RESTARTED
    return mark, ready


def _follow(
    rule: Rules,
    recovery: Recovery,
    users: I64,
    value: F64,
    noise: F64,
    counts: Bool,
    step: Transition,
) -> Bool:
    """Predict these users' candidates, and fold in the readings that count and pass their gate."""
    level, slope, p00, p01, p11 = recovery.candidate[:, users]
    level += step.gain * slope
    slope *= step.decay
    moved = p01 + step.gain * p11
    p00 += step.gain * (p01 + moved)
    p00 += step.q00
    p01 = step.decay * moved + step.q01
    p11 = step.decay * (step.decay * p11) + step.q11
    innovation = value - level
    inverse = 1.0 / (p00 + noise)
    agrees: Bool = innovation * innovation * inverse <= rule.gate
    agrees &= counts
    weight = noise * inverse
    ratio = p01 / p00
    new01 = p01 * weight
    given_level = np.maximum(p11 - ratio * p01, 0.0)
    predicted = (level, slope, p00, p01, p11)
    updated = (
        level + p00 * inverse * innovation,
        slope + p01 * inverse * innovation,
        p00 * weight,
        new01,
        given_level + ratio * new01,
    )
    recovery.candidate[:, users] = np.where(agrees, updated, predicted)
    return agrees
