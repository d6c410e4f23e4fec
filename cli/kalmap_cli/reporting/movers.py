"""The users of a batch whose level moves most, beyond what noise explains."""

from typing import NamedTuple

import numpy as np

from kalmap import units
from kalmap.profile import Profile
from kalmap.readings import F64
from kalmap_cli.reporting.estimates import INTERVAL
from kalmap_cli.reporting.people import People
from kalmap_cli.reporting.sample import Sample
from kalmap_cli.reporting.user_state import slope_in_words
from kalmap_cli.reporting.words import with_margin

_BARS = "▁▂▃▄▅▆▇█"
#: Characters of a sparkline.
_WIDTH = 16


class Mover(NamedTuple):
    """A user whose slope is not noise."""

    user: str
    sparkline: str
    """The levels of the batch, from the first to the last reading."""
    level: str
    slope: str
    """With its interval, a week."""


def movers_of(sample: Sample, people: People, profile: Profile, most: int) -> list[Mover]:
    """The users who move most clearly: no 95 % interval of their slopes holds zero.

    The slopes are posterior means, which the profile draws towards the population's. So their
    intervals hold for the most extreme of many users, too (Gelman, Hill and Yajima 2012,
    doi:10.1080/19345747.2011.618213).
    """
    estimates = people.estimates
    drift = np.nan_to_num(estimates.drift)
    moving = np.flatnonzero(drift > INTERVAL)
    clearest = moving[np.argsort(-drift[moving], kind="stable")][:most]
    unit = units.shown(profile.unit)
    return [
        Mover(
            people.users[user],
            _sparkline_of(sample, user),
            f"{with_margin(estimates.level[user], INTERVAL * estimates.level_sd[user])} {unit}",
            slope_in_words(float(estimates.slope[user]), float(estimates.slope_sd[user]), unit),
        )
        for user in clearest.tolist()
    ]


def _sparkline_of(sample: Sample, user: int) -> str:
    rows = sample.readings_of(user)
    levels = sample.numbers["level"][rows]
    known = ~np.isnan(levels)
    return sparkline(sample.time[rows][known].astype(np.float64), levels[known])


def sparkline(time: F64, level: F64) -> str:
    """Draw levels as bars of characters, each of the same span of time.

    Args:
        time: In order, shape (n,), n >= 1.
        level: At these times, shape (n,).
    """
    if not level.size:
        return ""
    # The newest level at the end of each span.
    ends = np.linspace(time[0], time[-1], _WIDTH)
    newest = level[np.searchsorted(time, ends, side="right") - 1]
    low, high = newest.min(), newest.max()
    height = (newest - low) / (high - low) if high > low else np.full(_WIDTH, 0.5)
    return "".join(_BARS[round(bar * (len(_BARS) - 1))] for bar in height.tolist())
