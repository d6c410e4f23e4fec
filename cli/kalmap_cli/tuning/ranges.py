"""The range of plausible values, from the readings themselves."""

import numpy as np

from kalmap.profile import Profile
from kalmap.readings import F64
from kalmap_cli.tuning.users import Users

#: Of each user's readings, these quantiles are theirs, however wild a tenth of them is.
_LOW, _HIGH = 0.15, 0.85
#: Of the users, all but these shares are inside.
_USERS = (0.002, 0.998)
#: A range more than so many times as wide as the users' says nothing of them.
_TOO_WIDE = 10.0


def users_extent(users: Users) -> tuple[float, float]:
    """The lowest and the highest value that users have for long."""
    order = np.lexsort((users.value, users.owner))
    value, first = users.value[order], np.cumsum(users.counts) - users.counts
    last = users.counts - 1
    lows = value[first + np.floor(_LOW * last + 0.5).astype(np.int64)]
    highs = value[first + np.floor(_HIGH * last + 0.5).astype(np.int64)]
    # Of a single reading nobody knows whether it is wild.
    several = users.counts >= min(4, int(np.median(users.counts)))
    return _quantile(lows[several], _USERS[0]), _quantile(highs[several], _USERS[1])


def plausible(range_: tuple[float, float], users: Users) -> tuple[float, float]:
    """The range of a profile for these readings.

    The given one stays where the users lie inside it and it is not far too wide for them.
    """
    low, high = users_extent(users)
    width = high - low
    if width == 0.0:
        width = max(abs(low), 1.0)
    given = range_[1] - range_[0]
    if range_[0] <= low and high <= range_[1] and given <= _TOO_WIDE * width:
        return range_
    bottom, top = low - width, high + width
    if low >= 0.0:
        # What is never negative has no negative values that are plausible.
        bottom = max(bottom, 0.0)
    return float(f"{bottom:.4g}"), float(f"{top:.4g}")


def inside(profile: Profile, users: Users) -> Users:
    """The readings in the profile's range."""
    low, high = profile.range
    return users.where((users.value >= low) & (users.value <= high))


def _quantile(values: F64, share: float) -> float:
    return float(np.quantile(values, share))
