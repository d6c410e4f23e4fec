"""A user's own noise of readings: learned from the innovations, and what it does to densities.

The variance of a user's reading is s R, with R the profile's and s the user's scale. s has an
inverse gamma distribution that is worth n readings, so predictions are Student's t with n degrees
of freedom (West and Harrison, Bayesian Forecasting and Dynamic Models, 1997, section 4.5):

    n <- n + 1                    at most as many as the profile says
    s <- s (1 + (min(NIS, 16) - 1) / n)

A power with an integer exponent that is a power of two is a few squarings, and has the same bits
on every processor; `exp` and other powers have not. Hence densities have 3, 7, 15, 31 or 63 degrees
of freedom, whichever is next to n: their powers are 2, 4, 8, 16 and 32.
"""

from math import gamma, pi, sqrt

import numpy as np

from kalmap.filter.parameters import Parameters
from kalmap.readings import F64, I64

#: A user's variance is at least this share of the profile's: rounded readings may be all equal.
LEAST_SCALE = 0.02
#: One innovation counts at most this much: with t-distributed errors, one far off says less.
MOST_SURPRISE = 16.0
#: Squarings in the density with these degrees of freedom.
SQUARINGS = range(1, 6)
FREEDOM = np.array([0.0] + [4.0 * 2.0 ** (times - 1) - 1.0 for times in SQUARINGS])
#: Readings from which on each of the densities is the next one.
NEXT = np.array([5.0, 11.0, 22.0, 44.0])
AT_ZERO = np.array(
    [0.0]
    + [gamma((df + 1.0) / 2.0) / gamma(df / 2.0) / sqrt(df * pi) for df in FREEDOM[1:].tolist()]
)
#: Squarings of the densities of a population's level and of what has no learned noise.
POPULATION, NORMAL = 2, 5


def student_t(squared: F64, variance: F64, squarings: int | I64) -> F64:
    """Student's t density.

    Args:
        squared: Squared distance from the location.
        variance: Squared scale.
        squarings: Which degrees of freedom: 1 to 5 for 3, 7, 15, 31, 63; broadcast to the others.
    """
    if isinstance(squarings, int):
        least = most = squarings
    else:
        least, most = int(squarings.min()), int(squarings.max())
        squarings = most if least == most else squarings
    power = 1.0 + squared / (variance * FREEDOM[squarings])
    for times in range(1, most + 1):
        square = power * power
        power = square if times <= least else np.where(squarings >= times, square, power)
    density: F64 = AT_ZERO[squarings] / (np.sqrt(variance) * power)
    return density


def squarings_of(parameters: Parameters, readings: F64) -> I64:
    """Which density foretells the next reading.

    Args:
        parameters: Has the readings that the profile's noise is worth.
        readings: Readings that each user's own noise adds to them.
    """
    if not parameters.learns:
        return np.full(readings.shape, NORMAL)
    return np.searchsorted(NEXT, readings + parameters.prior, "right") + 1


def learn(parameters: Parameters, scale: F64, readings: F64, nis: F64) -> None:
    """Let one good reading of each user change what is known of their noise, in place.

    Args:
        parameters: Has the readings that the profile's noise is worth, and the memory.
        scale: (users,) Changed.
        readings: (users,) Changed.
        nis: (users,) The readings' normalised innovation squared.
    """
    readings += 1.0
    np.minimum(readings, parameters.memory, out=readings)
    if parameters.learns:
        factor = np.minimum(nis, MOST_SURPRISE)
        factor -= 1.0
        factor /= readings + parameters.prior
        factor += 1.0
        scale *= factor
        np.maximum(scale, LEAST_SCALE, out=scale)


def width(parameters: Parameters, readings: F64) -> F64:
    """Half of the 95 % interval of Student's t over that of the normal distribution.

    Cornish and Fisher's expansion (Abramowitz and Stegun, 26.7.5) at the 97.5 % quantile.
    """
    if not parameters.learns:
        return np.ones(readings.shape)
    return _WIDTHS.take((4.0 * (readings + parameters.prior)).astype(np.int64), mode="clip")


def _width(freedom: float) -> float:
    z = 1.959963984540054
    first = (z**3 + z) / 4.0
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    return (z + first / freedom + second / freedom**2 + third / freedom**3) / z


#: Of each number of quarters of readings.
_WIDTHS = np.array([_width(max(quarters / 4.0, 2.5)) for quarters in range(256)])
