"""The algebra of one step of the filter: predict, innovation, update, restart.

The state is a level x and a slope v with the covariance P; a reading z measures the level with
the noise variance R. Each function takes floats, or arrays of one shape that hold a number for
each user, and gives the same bits for both: it uses +, -, *, / and comparisons only.

`vector`, `hypotheses` and `estimates` call these functions. `scalar` has the same expressions
written out, since calls are slow there.
tests/property/test_algebra.py holds them together to the bit.
"""

from typing import Generic, NamedTuple, TypeVar

from kalmap.readings import F64, I64

Number = TypeVar("Number", float, F64)

#: Rows of an array of estimates.
LEVEL, SLOPE, P00, P01, P11 = range(5)

#: Below this R / S, p11 - p01^2 / S may have lost all its digits.
STEADY_BELOW = 1e-9


class Estimate(NamedTuple, Generic[Number]):
    """Level and slope, and their covariance."""

    level: Number
    slope: Number
    p00: Number
    p01: Number
    p11: Number


class Transition(NamedTuple, Generic[Number]):
    """F and Q of a step: how the state moves over the gap before a reading."""

    gain: Number
    """F[0, 1]: days by which the slope moves the level."""
    decay: Number
    """F[1, 1]: what is left of the slope."""
    q00: Number
    q01: Number
    q11: Number
    level_drift: Number | None = None
    """What the mean slope adds to the level, and below to the slope; None if it is 0."""
    slope_drift: Number | None = None


class Innovation(NamedTuple, Generic[Number]):
    """A reading against its prediction."""

    difference: Number
    """y = z - x."""
    precision: Number
    """1 / S, where S = P00 + R is the variance of y."""


def transitions_at(step: Transition[F64], positions: slice | I64) -> Transition[F64]:
    """The transitions at these positions; with a slice, views."""
    parts = [None if part is None else part[positions] for part in step]
    return Transition[F64]._make(parts)


def predict(estimate: Estimate[Number], step: Transition[Number]) -> Estimate[Number]:
    """Move an estimate over a gap: F x and F P F' + Q, multiplied out (Kalman 1960)."""
    level, slope, p00, p01, p11 = estimate
    moved = p01 + step.gain * p11
    level, slope = level + step.gain * slope, step.decay * slope
    if step.level_drift is not None and step.slope_drift is not None:
        level, slope = level + step.level_drift, slope + step.slope_drift
    return Estimate(
        level,
        slope,
        p00 + step.gain * (p01 + moved) + step.q00,
        step.decay * moved + step.q01,
        step.decay * (step.decay * p11) + step.q11,
    )


def innovation(prior: Estimate[Number], value: Number, noise: Number) -> Innovation[Number]:
    """Compare a reading with the prediction; `noise` is R."""
    return Innovation(value - prior.level, 1.0 / (prior.p00 + noise))


def nis(y: Innovation[Number]) -> Number:
    """Normalised innovation squared, y^2 / S.

    Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001,
    section 5.4.
    """
    return y.difference * y.difference * y.precision


def update(prior: Estimate[Number], y: Innovation[Number], noise: Number) -> Estimate[Number]:
    """Fold a reading in: K = (P00, P01) / S, w = R / S.

    Joseph's form, multiplied out for a scalar reading (Bierman, Factorization Methods for Discrete
    Sequential Estimation, 1977, V.2). p01 never becomes negative: it starts at zero, and every
    term of the prediction is positive. So only p11 is a difference.
    """
    gain0, gain1, weight = prior.p00 * y.precision, prior.p01 * y.precision, noise * y.precision
    return Estimate(
        prior.level + gain0 * y.difference,
        prior.slope + gain1 * y.difference,
        prior.p00 * weight,
        prior.p01 * weight,
        prior.p11 - gain1 * prior.p01,
    )


def update_steady(
    prior: Estimate[Number], y: Innovation[Number], noise: Number
) -> Estimate[Number]:
    """Fold a reading in as `update` does, with p11 as a sum, for any R / S."""
    updated = update(prior, y, noise)
    return updated._replace(p11=steady_p11(prior.p00, prior.p01, prior.p11, updated.p01))


def steady_p11(p00: Number, p01: Number, p11: Number, updated01: Number) -> Number:
    """The updated p11 as a sum of two terms that are not negative.

    The first is the slope's variance given the level, p11 - p01^2 / p00. The second is what the
    level's new variance brings back. So the covariance stays positive semi-definite.
    """
    ratio = p01 / p00
    given_level = p11 - ratio * p01
    # max(given_level, 0) for floats and arrays alike: the sum and the half are exact.
    return 0.5 * (given_level + abs(given_level)) + ratio * updated01


def restart(
    value: Number, noise: Number, slope_mean: float, slope_variance: float
) -> Estimate[Number]:
    """Begin at a reading: its value and noise, and the prior slope."""
    zero = noise * 0.0
    return Estimate(value, zero + slope_mean, noise, zero, zero + slope_variance)
