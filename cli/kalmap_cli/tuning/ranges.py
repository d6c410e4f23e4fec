"""The range of plausible values, from the readings themselves."""

import numpy as np

from kalmap.profile import Profile
from kalmap.readings import F64
from kalmap_cli.tuning.users import Users

#: Of each user's readings, these quantiles are theirs, however wild a tenth of them is.
_LOW, _HIGH = 0.15, 0.85
#: Of fewer readings all are theirs.
_FEW = 4
#: Of the users, all but these shares are inside.
_USERS = (0.002, 0.998)
#: A range more than so many times as wide as users' values are large says nothing of them.
_TOO_WIDE = 100.0
#: A new end is at least this share of the largest value beyond the users'.
_MARGIN = 0.5


def users_extent(users: Users) -> tuple[float, float]:
    """The lowest and the highest value that users have for long."""
    order = np.lexsort((users.value, users.owner))
    value, first = users.value[order], np.cumsum(users.counts) - users.counts
    last = users.counts - 1
    many = users.counts >= _FEW
    lows = value[first + np.where(many, np.ceil(_LOW * last), 0).astype(np.int64)]
    highs = value[first + np.where(many, np.floor(_HIGH * last), last).astype(np.int64)]
    # Of a single reading nobody knows whether it is wild.
    several = users.counts >= min(_FEW, int(np.median(users.counts)))
    return _quantile(lows[several], _USERS[0]), _quantile(highs[several], _USERS[1])


def plausible(range_: tuple[float, float], users: Users) -> tuple[float, float]:
    """The range of a profile for these readings.

    What is outside is refused for ever, and users move: so no profile's range becomes narrower than
    the given one, unless that one says nothing of these readings.
    """
    low, high = users_extent(users)
    size = max(high - low, abs(low), abs(high))
    margin = max(high - low, _MARGIN * size) or 1.0
    bottom, top = low - margin, high + margin
    if low >= 0.0:
        # What is never negative has no negative values that are plausible.
        bottom = max(bottom, 0.0)
    bottom, top = float(f"{bottom:.4g}"), float(f"{top:.4g}")
    if high < range_[0] or range_[1] < low or range_[1] - range_[0] > _TOO_WIDE * size:
        return bottom, top
    return (
        range_[0] if range_[0] <= low else bottom,
        range_[1] if high <= range_[1] else top,
    )


def inside(profile: Profile, users: Users) -> Users:
    """The readings in the profile's range."""
    low, high = profile.range
    return users.where((users.value >= low) & (users.value <= high))


def _quantile(values: F64, share: float) -> float:
    return float(np.quantile(values, share))
