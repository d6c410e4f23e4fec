"""Maximising a function that answers many points at once: a quasi-Newton ascent.

Derivatives are central differences, all asked for at once. The direction is Newton's with the
curvature as Broyden, Fletcher, Goldfarb and Shanno learn it (Nocedal and Wright, Numerical
Optimization, 2006, chapter 6), and a second question tries a dozen lengths along it. An ascent is a
generator, so that the questions of several can be answered in one call.
"""

from collections.abc import Generator

import numpy as np

from kalmap.readings import F64

_DIFFERENCE = 0.01
#: No parameter moves further than this in one step.
_LONGEST = 2.0
_LENGTHS = 2.0 ** np.arange(1.0, -9.0, -1.0)
#: A curvature below this is taken for it, so that flat directions do not run away.
_FLAT = 0.05


def ascent(
    start: F64, low: F64, high: F64, *, rounds: int, gain: float
) -> Generator[F64, F64, tuple[F64, float]]:
    """Yields points, (points, n), and is sent the function's values there, (points,).

    Returns a point at which the function is locally greatest, and its value there.

    Args:
        start: (n,)
        low: (n,) Bounds.
        high: (n,)
        rounds: At most so many steps.
        gain: It ends when a step gains less.
    """
    best, n = np.clip(start, low, high), start.size
    inverse: F64 | None = None
    gradient_before = moved = np.zeros(n)
    most, stalled = -np.inf, 0
    for _ in range(rounds):
        steps = _DIFFERENCE * np.eye(n)
        found = yield np.concatenate((best[None], best + steps, best - steps))
        here, up, down = float(found[0]), found[1 : 1 + n], found[1 + n :]
        gradient = (up - down) / (2.0 * _DIFFERENCE)
        # At a bound only steps into the region count.
        gradient[(best <= low) & (gradient < 0.0) | (best >= high) & (gradient > 0.0)] = 0.0
        curvature = np.maximum(-(up - 2.0 * here + down) / _DIFFERENCE**2, _FLAT)
        change = gradient_before - gradient
        if inverse is None or moved @ change <= 1e-10:
            inverse = np.diag(1.0 / curvature)
        else:
            inverse = _updated(inverse, moved, change)
        direction = inverse @ gradient
        if direction @ gradient <= 0.0:
            direction = gradient / curvature
        direction *= min(1.0, _LONGEST / max(float(np.abs(direction).max()), 1e-300))
        points = np.clip(best + _LENGTHS[:, None] * direction, low, high)
        values = yield points
        values = np.where(np.isfinite(values), values, -np.inf)
        top = int(np.argmax(values))
        most = max(most, here)
        if values[top] <= most + gain:
            stalled += 1
            inverse = None
            if values[top] > most:
                best, most = points[top], float(values[top])
            if stalled == 2:
                break
            continue
        stalled = 0
        gradient_before, moved = gradient, points[top] - best
        best, most = points[top], float(values[top])
    return best, most


def _updated(inverse: F64, moved: F64, change: F64) -> F64:
    scale = 1.0 / float(moved @ change)
    left = np.eye(moved.size) - scale * np.outer(moved, change)
    updated: F64 = left @ inverse @ left.T + scale * np.outer(moved, moved)
    return updated
