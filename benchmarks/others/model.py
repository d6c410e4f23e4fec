"""The model that every script here filters with: level and slope, the textbook's Kalman filter.

The parameters are those of kalmap's profile for body weight. A reading whose squared surprise (NIS)
is above GATE is rejected. The transition over a gap of time is in closed form: Särkkä and Solin,
Applied Stochastic Differential Equations, 2019, chapter 6.
"""

import math
from datetime import datetime

KG = {"kg": 1.0, "lb": 0.45359237, "g": 0.001, "st": 6.35029318, "oz": 0.028349523125}
NOISE = 0.4
SOURCES = {"scale": 1.0, "clinic": 0.579, "app": 1.43, "manual": 2.07}
OTHER_SOURCE = 2.0
LEVEL_VARIANCE, SLOPE_VARIANCE = 0.1**2, 0.011**2
DAMPING, SLOPE_PRIOR = 0.01, 0.06
LOWEST, HIGHEST, GATE = 20.0, 350.0, 25.0
SECONDS_PER_DAY = 86_400.0


def variance(source: str | None) -> float:
    """Of a reading from a source, kg²."""
    return (NOISE * SOURCES.get(source or "", OTHER_SOURCE)) ** 2


def transition(days, exp=math.exp):
    """Over a gap: what the slope adds to the level, what is left of it, and three variances.

    Args:
        days: The gap; a number, or an array with numpy's `exp`.
        exp: The exponential function.
    """
    left = exp(-DAMPING * days)
    gain = (1.0 - left) / DAMPING
    q11 = SLOPE_VARIANCE * (1.0 - left * left) / (2.0 * DAMPING)
    q01 = SLOPE_VARIANCE * gain * gain / 2.0
    integral = days - 2.0 * gain + (1.0 - left * left) / (2.0 * DAMPING)
    q00 = LEVEL_VARIANCE * days + SLOPE_VARIANCE * integral / DAMPING**2
    return gain, left, q00, q01, q11


def step(state, when: float, value: float, noise: float):
    """Filter one reading.

    Args:
        state: `(time, level, slope, p00, p01, p11)`; None for a new user.
        when: Seconds since 1970.
        value: In kg.
        noise: Its variance, kg².

    Returns:
        The new state; then status, level, level_sd, slope, predicted and nis, as results have them.
    """
    if not LOWEST <= value <= HIGHEST:
        return state, ("rejected", None, None, None, None, None)
    if state is None:
        state = (when, value, 0.0, noise, 0.0, SLOPE_PRIOR**2)
        return state, ("accepted", value, math.sqrt(noise), 0.0, None, None)
    time, level, slope, p00, p01, p11 = state
    if when < time:
        return state, ("rejected", None, None, None, None, None)
    gain, left, q00, q01, q11 = transition((when - time) / SECONDS_PER_DAY)
    level, slope = level + gain * slope, left * slope
    p00 += 2.0 * gain * p01 + gain * gain * p11 + q00
    p01 = left * (p01 + gain * p11) + q01
    p11 = left * left * p11 + q11
    predicted, innovation, spread = level, value - level, p00 + noise
    nis = innovation * innovation / spread
    status = "rejected"
    if nis <= GATE:
        status = "accepted"
        k0, k1 = p00 / spread, p01 / spread
        level, slope = level + k0 * innovation, slope + k1 * innovation
        p00, p01, p11 = p00 * (1.0 - k0), p01 * (1.0 - k0), p11 - k1 * p01
    found = (status, level, math.sqrt(p00), slope, predicted, nis)
    return (when, level, slope, p00, p01, p11), found


def decoded(record) -> tuple[str, float, float, float]:
    """User, seconds since 1970, kg and variance of a record of JSON."""
    when = datetime.fromisoformat(record["timestamp"]).timestamp()
    kg = record["value"] * KG[record.get("unit") or "kg"]
    return record["user_id"], when, kg, variance(record.get("source"))


FIELDS = ("status", "level", "level_sd", "slope", "predicted", "nis")
