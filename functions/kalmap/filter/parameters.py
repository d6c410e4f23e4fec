"""A profile's numbers as the filter uses them."""

from typing import NamedTuple

from kalmap.filter.model import measurement_variances
from kalmap.profile import Profile
from kalmap.readings import F64
from kalmap.units import mix_ups


class Parameters(NamedTuple):
    """The model and the policy of one profile."""

    profile: Profile
    gate: float
    rate_limit: float
    recovery: int
    """Rejected readings in a row that must agree before the filter restarts."""
    slope_variance: float
    """P11 of a filter that (re)starts."""
    ratios: tuple[float, ...]
    """By which a value in a mistaken unit is wrong."""
    variances: F64
    """(256,) R of each source code."""


def parameters_of(profile: Profile) -> Parameters:
    """The numbers of a profile."""
    # A larger ratio takes no value inside the plausible range to another one inside it.
    widest = max(abs(end) for end in profile.range)
    nearest = max(profile.range[0], 1e-6 * widest)
    return Parameters(
        profile,
        profile.gate,
        profile.rate_limit,
        profile.recovery,
        profile.slope_prior * profile.slope_prior,
        tuple(r for r in mix_ups(profile.unit) if nearest / widest <= r <= widest / nearest),
        measurement_variances(profile),
    )
