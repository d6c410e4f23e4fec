"""What stored states say of their users, many at a time."""

from typing import NamedTuple

import numpy as np

from kalmap.filter.algebra import LEVEL, SLOPE
from kalmap.filter.columns import REASON_BITS, RESTARTED
from kalmap.filter.estimates import newest_estimates, standard_deviations
from kalmap.profile import Profile
from kalmap.readings import F64, I64

#: Half the width of a normal distribution's central 95 %, in standard deviations.
INTERVAL = 1.959964
#: Right readings that are added to each user's, so that one rejection of three counts less than
#: ten of forty.
BENEFIT = 5
#: Users whose states are folded at a time.
_AT_ONCE = 5_000


class Estimates(NamedTuple):
    """What states say, a column a field; (users,) each. Levels are in the profile's unit."""

    level: F64
    level_sd: F64
    slope: F64
    """Per day."""
    slope_sd: F64
    as_of: F64
    """Time of the newest reading, microseconds since 1970 UTC."""
    readings: F64
    """Readings of the window."""
    rejected: F64
    restarts: F64
    quality: F64
    """Mean probability that a reading of the window is right."""

    @property
    def drift(self) -> F64:
        """Slopes in units of their standard deviations: beyond 2, it is hardly noise."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.slope_sd > 0.0, np.abs(self.slope) / self.slope_sd, 0.0)


def nothing_known(users: int) -> Estimates:
    """Estimates of which none is known."""
    return Estimates(*np.full((len(Estimates._fields), users), np.nan))


def cautious_quality(quality: F64, readings: F64 | I64) -> F64:
    """Mean qualities as if each user had some more readings, all of them right."""
    wrong = readings * (1.0 - np.nan_to_num(quality, nan=1.0))
    return 1.0 - wrong / (readings + BENEFIT)


def estimates_of(profile: Profile, bodies: list[bytes]) -> Estimates:
    """Fold stored states to their newest reading.

    Raises:
        InvalidInput: A body is not a sound state.
    """
    parts = [
        _fold(profile, bodies[start : start + _AT_ONCE])
        for start in range(0, len(bodies), _AT_ONCE)
    ]
    if not parts:
        return nothing_known(0)
    return Estimates(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _fold(profile: Profile, bodies: list[bytes]) -> Estimates:
    newest = newest_estimates(profile, bodies)
    level_sd, slope_sd = standard_deviations(profile, newest)
    counts = newest.states.counts
    starts = np.cumsum(counts) - counts

    def sums(of_each_reading: F64) -> F64:
        return np.add.reduceat(of_each_reading, starts)

    return Estimates(
        newest.estimate[LEVEL],
        level_sd,
        newest.estimate[SLOPE],
        slope_sd,
        newest.as_of.astype(np.float64),
        counts.astype(np.float64),
        sums((newest.flags & REASON_BITS > 0).astype(np.float64)),
        sums((newest.flags & RESTARTED > 0).astype(np.float64)),
        1.0 - sums(newest.wrong) / counts,
    )
