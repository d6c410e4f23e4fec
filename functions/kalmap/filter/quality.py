"""Quality of a reading in [0, 1]: its fit, the plausibility of its rate, and its source.

    fit    = 1 / (1 + nis / gate)            1 for a perfect fit, 1/2 at the gate
    rate   = 1 / (1 + r)                     r the squared distance from the last estimate over
                                             the allowed one: 1/2 at the rate limit
    source = 1 / max(1, multiplier)          1 for a source as good as the profile's noise

Their weighted harmonic mean is low as soon as one of them is. Each is 1 / (1 + a), so the mean is
1 / (1 + mean of a), which needs no special case at zero.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter.model import source_multipliers
from kalmap.profile import Profile
from kalmap.readings import F64, U8


class Components(NamedTuple):
    """The parts of quality; arrays of one shape, each in [0, 1]."""

    fit: F64
    rate: F64
    source: F64


def _excess(profile: Profile) -> F64:
    """max(1, multiplier) - 1 of every source code; shape (256,)."""
    excess: F64 = np.maximum(source_multipliers(profile), 1.0) - 1.0
    return excess


def quality(profile: Profile, nis: F64, rate: F64, source: U8, out: F64 | None = None) -> F64:
    """Quality of each reading.

    Args:
        profile: Has the gate, weights and multipliers.
        nis: Normalised innovation squared; NaN for a user's first reading, which fits.
        rate: Squared distance over the allowed one, as in `packed.Path`.
        source: Source codes.
        out: Where to write.

    Returns:
        Values in [0, 1], of the inputs' shape.
    """
    weights = profile.quality
    total = weights.fit + weights.rate + weights.source
    denominator = np.fmax(nis, 0.0, out=out)
    denominator *= weights.fit / total / profile.gate
    denominator += rate * (weights.rate / total)
    # The denominator 1 + mean of a: the source's term brings the 1.
    denominator += (1.0 + _excess(profile) * (weights.source / total)).take(source, mode="clip")
    return np.divide(1.0, denominator, out=denominator)


def components(profile: Profile, nis: F64, rate: F64, source: U8) -> Components:
    """The parts of each reading's quality; arguments as for `quality`."""
    fits = np.fmax(nis, 0.0) / profile.gate
    return Components(
        1.0 / (1.0 + fits), 1.0 / (1.0 + rate), 1.0 / (1.0 + _excess(profile)[source])
    )
