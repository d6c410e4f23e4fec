"""What goes into the forward pass and what comes out of it, in packed columns.

Packed: step after step, and within a step user after user, those with most readings first.
"""

from typing import NamedTuple

from kalmap.filter.algebra import Transition
from kalmap.filter.columns import Recovery
from kalmap.readings import F64, I64, U8


class Inputs(NamedTuple):
    """What the filter takes; arrays of shape (readings,), packed."""

    value: F64
    noise: F64
    """R."""
    reach: F64
    """(rate limit x gap)^2 + gate x R: the part of the rate bound known beforehand."""
    step: Transition[F64]


class Path(NamedTuple):
    """What the filter went through; arrays of shape (readings,), packed."""

    place: I64
    """Where each reading is, readings standing user after user."""
    estimate: F64
    """(5, readings) Level, slope, p00, p01, p11 after each reading."""
    predicted: F64
    """Level expected before the reading; NaN for a user's very first."""
    nis: F64
    """Normalised innovation squared; NaN for a user's very first."""
    rate: F64
    """Squared distance from the last estimate, over what rate limit and noise allow; above 1
    is implausible. 0 for a user's very first."""
    mark: U8
    """Reason, and whether the filter restarted here."""
    recovery: Recovery
    """Of each user, as it was after `snapshot` readings."""
