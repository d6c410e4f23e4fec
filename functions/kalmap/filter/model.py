"""The state model: exact transition of level and slope over any gap, and measurement noise.

The level is the integral of a slope that is gradually forgotten (an Ornstein-Uhlenbeck process),
plus a random walk of its own:

    d level = slope dt + level_noise dW1
    d slope = -damping (slope - slope_mean) dt + slope_noise dW2

Over a gap h this gives, with a = damping h, u = 1 - exp(-a) (Bar-Shalom, Li and Kirubarajan,
Estimation with Applications to Tracking and Navigation, 2001, section 8.2; Särkkä and Solin,
Applied Stochastic Differential Equations, 2019, section 6.2):

    F = [[1, g], [0, e]]            g = u / damping, e = exp(-a)
    Q11 = slope_noise^2 g (1 + e) / 2
    Q01 = slope_noise^2 g^2 / 2
    Q00 = level_noise^2 h + slope_noise^2 h^3 psi(a)
    psi(a) = (a - u - u^2 / 2) / a^3

and adds slope_mean (h - g) to the level and slope_mean u to the slope.

No exp is called. For a <= 1/4 one power series gives both u / a and psi:

    chi(a) = (u - a + a^2 / 2) / a^3 = 1/3! - a/4! + a^2/5! - ...
    u / a  = 1 + a (a chi - 1/2)
    psi(a) = (1/2 - a chi) (1 + u / a) / 2 - chi

A longer gap is halved until it is short and then doubled by the composition rule F(2h) = F F,
Q(2h) = F Q F' + Q, whose terms are all positive. So nothing cancels at any gap, damping 0 is no
special case, and the bits are those of +, - and * alone: the same on every processor and at
every array width.
"""

from math import factorial

import numpy as np

from kalmap.filter.algebra import Estimate, Transition, predict, transitions_at
from kalmap.moments import DAY
from kalmap.profile import Profile
from kalmap.readings import F64, I64

#: A float: Python divides a long gap by an integer with another last bit.
MICROSECONDS_PER_DAY = float(DAY)

#: Gaps computed at once: their few arrays stay in a level-1 or level-2 cache.
_BLOCK = 16_384

#: Longest gap, in units of 1 / damping, that the series covers.
_SHORT = 0.25
#: The first term left out is about 1e-17 of the sum at a = 1/4.
_CHI = tuple((-1.0) ** k / factorial(k + 3) for k in range(11))


def transition(profile: Profile, gap: F64, out: F64 | None = None) -> Transition[F64]:
    """F and Q of each gap: the exact discretisation of the profile's model.

    Args:
        profile: Has the damping and the noises.
        gap: (n,) Days, at least 0.
        out: (5, n) Memory for the result.

    Returns:
        Arrays of shape (n,).
    """
    result = Transition[F64](*(np.empty((5, gap.size)) if out is None else out))
    for start in range(0, gap.size, _BLOCK):
        here = slice(start, start + _BLOCK)
        if profile.slope_damping == 0.0:
            _undamped(profile, gap[here], transitions_at(result, here))
        else:
            _damped(profile, gap[here], transitions_at(result, here))
    slope_mean = profile.population.slope_mean
    if slope_mean == 0.0:
        return result
    return result._replace(
        level_drift=slope_mean * (gap - result.gain), slope_drift=slope_mean * (1.0 - result.decay)
    )


def _undamped(profile: Profile, gap: F64, out: Transition[F64]) -> None:
    """The series at a = 0: psi = 1/3, and the slope is never forgotten."""
    gain, decay, q00, q01, q11, *_ = out
    np.copyto(gain, gap)
    decay.fill(1.0)
    np.multiply(gap, profile.slope_noise * profile.slope_noise, out=q11)
    np.multiply(q11, gap, out=q01)
    np.multiply(q01, gap, out=q00)
    q01 *= 0.5
    q00 *= 1.0 / 3.0
    q00 += gap * (profile.level_noise * profile.level_noise)


def _damped(profile: Profile, gap: F64, out: Transition[F64]) -> None:
    damping = profile.slope_damping
    slope_variance = profile.slope_noise * profile.slope_noise
    gain, decay, q00, q01, q11, *_ = out
    a = gap * damping
    long = np.flatnonzero(a > _SHORT)
    short, halvings = gap, None
    if long.size:
        short, halvings = _halved(gap, damping, long)
        np.multiply(short, damping, out=a)
    # chi in q11, a chi - 1/2 in q00, and u / a in gain.
    np.multiply(a, _CHI[-1], out=q11)
    for coefficient in _CHI[-2:0:-1]:
        q11 += coefficient
        q11 *= a
    q11 += _CHI[0]
    np.multiply(q11, a, out=q00)
    q00 -= 0.5
    np.multiply(q00, a, out=gain)
    gain += 1.0
    np.add(gain, 1.0, out=decay)
    q00 *= decay
    q00 *= -0.5
    q00 -= q11
    gain *= short
    np.multiply(gain, damping, out=decay)
    np.subtract(1.0, decay, out=decay)
    np.multiply(gain, gain, out=q01)
    q01 *= 0.5 * slope_variance
    np.add(decay, 1.0, out=q11)
    q11 *= gain
    q11 *= 0.5 * slope_variance
    q00 *= short
    q00 *= short
    q00 *= slope_variance
    q00 += profile.level_noise * profile.level_noise
    q00 *= short
    if halvings is not None:
        _double(out, halvings)


def _halved(gap: F64, damping: float, long: I64) -> tuple[F64, I64]:
    """Halve each gap until it is short, and count how often."""
    short = gap.copy()
    halvings = np.zeros(gap.shape, np.int64)
    while long.size:
        short[long] *= 0.5
        halvings[long] += 1
        long = long[short[long] * damping > _SHORT]
    return short, halvings


def _double(t: Transition[F64], times: I64) -> None:
    """Compose each transition with itself, `times` times, in place."""
    todo = np.flatnonzero(times)
    done = 0
    while todo.size:
        step = transitions_at(t, todo)
        zero = np.zeros(todo.size)
        moved = predict(Estimate(zero, zero, step.q00, step.q01, step.q11), step)
        t.q00[todo], t.q01[todo], t.q11[todo] = moved.p00, moved.p01, moved.p11
        t.gain[todo] = step.gain + step.decay * step.gain
        t.decay[todo] = step.decay * step.decay
        done += 1
        todo = todo[times[todo] > done]


def source_multipliers(profile: Profile) -> F64:
    """Noise multiplier of each source code; shape (256,), unlisted codes as the unknown source."""
    multipliers = np.full(256, profile.unknown_source)
    for code, name in enumerate(profile.source_names):
        multipliers[code] = profile.sources[name]
    return multipliers


def measurement_variances(profile: Profile) -> F64:
    """R of each source code, u^2; shape (256,)."""
    deviation = source_multipliers(profile) * profile.measurement_noise
    return deviation * deviation
