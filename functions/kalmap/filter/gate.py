"""The gate: why a reading that does not fit is rejected.

A reading is rejected where it lies further from the last estimate than the profile's rate limit
and both uncertainties allow (`implausible_rate`), or where its normalised innovation squared
exceeds the gate (`outlier`). If it would have fitted in another unit it is `unit_suspect`.
"""

from typing import NamedTuple

import numpy as np

from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, U8, Bool
from kalmap.units import mix_ups


class Rules(NamedTuple):
    """The profile's numbers as the filter uses them."""

    gate: float
    rate_limit: float
    recovery: int
    slope_variance: float
    ratios: F64
    """(ratios,) By which a value in a mistaken unit is wrong."""


def rules(profile: Profile) -> Rules:
    """The profile's numbers as the filter uses them."""
    # A ratio beyond that of the range's ends brings no value in it to a level in it.
    widest = max(abs(end) for end in profile.range)
    nearest = max(profile.range[0], 1e-6 * widest)
    return Rules(
        profile.gate,
        profile.rate_limit,
        profile.recovery,
        profile.slope_prior * profile.slope_prior,
        np.array([r for r in mix_ups(profile.unit) if nearest / widest <= r <= widest / nearest]),
    )


def reasons(rate: F64, suspect: Bool) -> U8:
    """Why each rejected reading is: a code of outcome.Reason.

    Args:
        rate: (n,) Squared distance from the last estimate over the allowed one.
        suspect: (n,) Whether it fits in another unit.
    """
    reason = np.where(rate > 1.0, np.uint8(Reason.IMPLAUSIBLE_RATE), np.uint8(Reason.OUTLIER))
    reason[suspect] = Reason.UNIT_SUSPECT
    return reason
