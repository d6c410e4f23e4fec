"""The likelihood of readings without questions, under many models at once.

`kalmap.filter` weighs what a reading may be, one profile after the other. A search for the noises
asks hundreds of times, and most readings raise no question. Here wild readings are known, and left
out; then the filter is the plain one, with a noise learned per user (docs/model.md). Arrays have
shape (users, models).
"""

from math import lgamma, log, pi
from typing import NamedTuple

import numpy as np

from kalmap.readings import F64, I64, Bool
from kalmap_cli.tuning.users import Users

#: Degrees of freedom of a population's level, and of what has no learned noise: as in the filter.
_POPULATION, _NORMAL = 7.0, 63.0
#: More different gaps than this are rounded, to 0.2 %.
_MOST_GAPS = 2_000
_GAP_STEP = 0.002
#: One innovation counts at most this much for the noise, as in the filter.
_MOST_SURPRISE = 16.0
_LEAST_SCALE = 0.02


class Models(NamedTuple):
    """Parameters of models; arrays of shape (models,)."""

    noise: F64
    level_noise: F64
    slope_noise: F64
    damping: F64
    slope_sd: F64
    slope_mean: F64
    level_sd: F64
    level_mean: F64
    learned: F64
    """Readings that `noise` is worth to a user; infinite where it is not learned."""
    multiplier: F64
    """(sources, models) Of the noise, for each source code in use."""


class Packed(NamedTuple):
    """Readings, the users with the most first: step t has one of each of the first `widths[t]`."""

    widths: list[int]
    offsets: list[int]
    value: F64
    """(readings, 1)"""
    gaps: F64
    """(gaps,) The different ones, in days."""
    gap: I64
    """(readings,) Which of them."""
    source: I64
    """(readings,) Row of `Models.multiplier`."""
    good: Bool
    """(readings, 1) Wild readings are left out."""
    jumps: F64
    """(readings, 1) Variance that a jump before the reading adds to the level; mostly 0."""
    used: int
    """Readings that count."""
    weighs_first: bool


def pack(users: Users, codes: I64, good: Bool, jumps: F64, *, weighs_first: bool) -> Packed:
    """Pack readings for `log_likelihood`.

    Args:
        users: The readings.
        codes: Source codes in use; their positions are the rows of `Models.multiplier`.
        good: (readings,) Which to believe.
        jumps: (readings,) Variance of a jump before each reading.
        weighs_first: Whether a user's first reading counts; else it only starts the filter.
    """
    histories = users.histories
    order = np.argsort(-users.counts, kind="stable")
    lengths, first = users.counts[order], (np.cumsum(users.counts) - users.counts)[order]
    steps = int(lengths[0])
    widths = np.searchsorted(-lengths, -np.arange(steps))
    position = np.concatenate([first[:width] + step for step, width in enumerate(widths)])
    gaps, gap = np.unique(histories.gap[position], return_inverse=True)
    if gaps.size > _MOST_GAPS:
        rounded = np.rint(np.log(np.maximum(histories.gap[position], 1e-9)) / _GAP_STEP)
        gaps, gap = np.unique(rounded, return_inverse=True)
        gaps = np.exp(gaps * _GAP_STEP)
    row_of = np.zeros(256, np.int64)
    row_of[codes] = np.arange(codes.size)
    counts = good.copy()
    if not weighs_first:
        counts[users.begin] = False
    return Packed(
        widths.tolist(),
        np.concatenate((np.zeros(1, np.int64), np.cumsum(widths))).tolist(),
        users.value[position][:, None],
        gaps,
        gap,
        row_of[users.source[position]],
        good[position][:, None],
        jumps[position][:, None],
        int(counts.sum()),
        weighs_first,
    )


def log_likelihood(models: Models, readings: Packed) -> F64:
    """Log-likelihood of the good readings under each model."""
    users, size = readings.widths[0], models.noise.size
    moves = _transitions(models, readings.gaps)
    variances = (models.noise * models.multiplier) ** 2
    level, slope = (np.repeat(mean[None], users, axis=0) for mean in
                    (models.level_mean, models.slope_mean))  # fmt: skip
    p00, p11 = (np.repeat(sd[None] ** 2, users, axis=0) for sd in
                (models.level_sd, models.slope_sd))  # fmt: skip
    p01 = np.zeros((users, size))
    scale, counts = np.ones((users, size)), np.zeros((users, 1), np.int64)
    learns = np.isfinite(models.learned)
    freedom, constant = _freedom(models.learned)
    population = np.array([_POPULATION]), np.array([_at_zero(_POPULATION)])
    total = np.zeros(size)
    for step, width in enumerate(readings.widths):
        here = slice(readings.offsets[step], readings.offsets[step] + width)
        good, noise = readings.good[here], variances[readings.source[here]] * scale[:width]
        x, v, a, b, c = level[:width], slope[:width], p00[:width], p01[:width], p11[:width]
        if step:
            g, e, q00, q01, q11, dx, dv = (part[readings.gap[here]] for part in moves)
            x, v = x + g * v + dx, e * v + dv
            moved = b + g * c
            a = a + g * (b + moved) + q00 + readings.jumps[here]
            b, c = e * moved + q01, e * (e * c) + q11
        y, total_variance = readings.value[here] - x, a + noise
        nis = y * y / total_variance
        if step or readings.weighs_first:
            df, at_zero = population
            if step:
                df, at_zero = freedom[counts[:width, 0]], constant[counts[:width, 0]]
            found = at_zero - 0.5 * ((df + 1.0) * np.log1p(nis / df) + np.log(total_variance))
            total += np.where(good, found, 0.0).sum(axis=0)
        weight = good / total_variance
        level[:width], slope[:width] = x + a * weight * y, v + b * weight * y
        p11[:width] = np.maximum(c - b * b * weight, 0.0)
        kept = np.where(good, noise / total_variance, 1.0)
        p00[:width], p01[:width] = a * kept, b * kept
        if step:
            counts[:width] = np.minimum(counts[:width] + good, _MOST_COUNTS)
            after = np.minimum(counts[:width] + models.learned, np.maximum(_NORMAL, models.learned))
            factor = 1.0 + learns * good * (np.minimum(nis, _MOST_SURPRISE) - 1.0) / after
            scale[:width] = np.maximum(scale[:width] * factor, _LEAST_SCALE)
    return total


_MOST_COUNTS = 63


def _freedom(learned: F64) -> tuple[F64, F64]:
    """Degrees of freedom after 0, 1, 2, ... readings, and the log density's constant."""
    counts = np.arange(_MOST_COUNTS + 1)[:, None]
    freedom = np.clip(counts + learned, 3.0, _NORMAL)
    distinct, places = np.unique(freedom, return_inverse=True)
    constants = np.array([_at_zero(value) for value in distinct.tolist()])
    return freedom, constants[places].reshape(freedom.shape)


def _at_zero(freedom: float) -> float:
    """Logarithm of Student's t density with scale 1 at its location."""
    return lgamma((freedom + 1.0) / 2.0) - lgamma(freedom / 2.0) - 0.5 * log(freedom * pi)


def _transitions(models: Models, gaps: F64) -> tuple[F64, ...]:
    """What each gap does: gain, decay, the noises, and the drifts; each (gaps, models)."""
    gap = gaps[:, None]
    a = np.maximum(models.damping * gap, 1e-12)
    u = -np.expm1(-a)
    # (a - u - u^2 / 2) / a^3, by its series where the difference cancels.
    shape = np.where(
        a < 0.02,
        1.0 / 3.0 - a / 4.0 + 7.0 * a * a / 60.0,
        (a - u - 0.5 * u * u) / np.maximum(a, 0.02) ** 3,
    )
    gain, decay = gap * (u / a), 1.0 - u
    variance = models.slope_noise**2
    return (
        gain,
        decay,
        models.level_noise**2 * gap + variance * gap**3 * shape,
        0.5 * variance * gain * gain,
        0.5 * variance * gain * (1.0 + decay),
        models.slope_mean * (gap - gain),
        models.slope_mean * u,
    )
