"""What every method answers, so that all are scored alike."""

from typing import NamedTuple

import numpy as np


class Estimates(NamedTuple):
    """One method's answers; arrays (users, readings), NaN where it has none."""

    predicted: np.ndarray
    """Value expected before the reading."""
    predicted_sd: np.ndarray
    """Standard deviation of the reading around that."""
    level: np.ndarray
    """Level after the reading."""
    level_sd: np.ndarray
    wrong: np.ndarray
    """Probability that the reading is wrong, 0 or 1 for a method that decides."""
    ahead: dict[int, tuple[np.ndarray, np.ndarray]]
    """Level so many days after the reading, and its standard deviation."""
