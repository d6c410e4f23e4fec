"""The state model: exact transition of level and slope over any gap, and measurement noise.

The level is moved by a slope that forgets itself (an integrated Ornstein-Uhlenbeck process)
and by a random walk of its own:

    d level = slope dt + level_noise dW1
    d slope = -damping slope dt + slope_noise dW2

Over a gap h this gives, with a = damping h, u = 1 - exp(-a) (Bar-Shalom, Li and Kirubarajan,
Estimation with Applications to Tracking and Navigation, 2001, section 8.2; Särkkä and Solin,
Applied Stochastic Differential Equations, 2019, section 6.2):

    F = [[1, g], [0, e]]            g = u / damping, e = exp(-a)
    Q11 = slope_noise^2 g (1 + e) / 2
    Q01 = slope_noise^2 g^2 / 2
    Q00 = level_noise^2 h + slope_noise^2 h^3 psi(a)
    psi(a) = (a - u - u^2 / 2) / a^3

No exp is called. For a <= 1/4 both u / a and psi are their power series; a longer gap is halved
until it is short and then doubled by the composition rule F(2h) = F F, Q(2h) = F Q F' + Q, whose
terms are all positive. So nothing cancels at any gap, damping 0 is no special case, and the
bits are those of +, - and * alone: the same on every processor and at every array width.
"""

from math import factorial
from typing import NamedTuple

import numpy as np

from kalmap.profile import Profile
from kalmap.readings import F64

MICROSECONDS_PER_DAY = 86_400_000_000.0

#: Longest gap, in units of 1 / damping, that the series covers.
_SHORT = 0.25
#: The first term left out is about 1e-17 of the sum at a = 1/4.
_TERMS = 12
_PHI = tuple((-1.0) ** k / factorial(k + 1) for k in range(_TERMS))
_PSI = tuple((-1.0) ** k * (2.0 - 2.0 ** (k - 1)) / factorial(k) for k in range(3, 3 + _TERMS + 2))


class Transition(NamedTuple):
    """F and Q of each gap; every array has the gaps' shape."""

    gain: F64
    """F[0, 1]: days by which the slope moves the level."""
    decay: F64
    """F[1, 1]: what is left of the slope."""
    q00: F64
    q01: F64
    q11: F64


def transition(profile: Profile, gap: F64) -> Transition:
    """Exact discretisation of the profile's model.

    Args:
        profile: Gives damping and noises.
        gap: Days, >= 0; shape (n,).

    Returns:
        Transition of arrays (n,).
    """
    damping = profile.slope_damping
    slope_variance = profile.slope_noise * profile.slope_noise
    level_variance = profile.level_noise * profile.level_noise
    if damping == 0.0:
        # The series at a = 0: psi = 1/3, and the slope keeps for ever.
        gain = gap
        decay = np.ones_like(gap)
        q11 = gap * slope_variance
        q01 = q11 * gap
        q00 = q01 * gap
        q01 *= 0.5
        q00 *= 1.0 / 3.0
        q00 += gap * level_variance
        return Transition(gain, decay, q00, q01, q11)

    short = gap.copy()
    halvings = np.zeros(gap.shape, np.int64)
    long = np.flatnonzero(short * damping > _SHORT)
    while long.size:
        short[long] *= 0.5
        halvings[long] += 1
        long = long[short[long] * damping > _SHORT]

    a = short * damping
    gain = _series(_PHI, a)
    gain *= short
    decay = gain * damping
    np.subtract(1.0, decay, out=decay)
    q01 = gain * gain
    q01 *= 0.5 * slope_variance
    q11 = decay + 1.0
    q11 *= gain
    q11 *= 0.5 * slope_variance
    q00 = _series(_PSI, a)
    q00 *= short
    q00 *= short
    q00 *= slope_variance
    q00 += level_variance
    q00 *= short
    result = Transition(gain, decay, q00, q01, q11)
    _double(result, halvings)
    return result


def _series(coefficients: tuple[float, ...], a: F64) -> F64:
    """Horner's rule, in place."""
    total = a * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= a
    total += coefficients[0]
    return total


def _double(t: Transition, times: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    """Compose each transition with itself, `times` times, in place."""
    todo = np.flatnonzero(times)
    done = 0
    while todo.size:
        g, e, q00, q01, q11 = (part[todo] for part in t)
        moved = q01 + g * q11
        t.q00[todo] = q00 + (q00 + g * (q01 + moved))
        t.q01[todo] = q01 + e * moved
        t.q11[todo] = q11 + e * (e * q11)
        t.gain[todo] = g + e * g
        t.decay[todo] = e * e
        done += 1
        todo = todo[times[todo] > done]


def measurement_variances(profile: Profile) -> F64:
    """R of every source code, u^2; shape (256,), unlisted codes as the unknown source."""
    multiplier = np.full(256, profile.unknown_source)
    for code, name in enumerate(profile.source_names):
        multiplier[code] = profile.sources[name]
    deviation = multiplier * profile.measurement_noise
    return deviation * deviation
