"""A profile's numbers as the filter uses them."""

from math import inf
from typing import NamedTuple

import numpy as np

from kalmap.filter.algebra import Estimate
from kalmap.filter.model import measurement_variances, transition
from kalmap.profile import Profile
from kalmap.readings import F64
from kalmap.units import mix_ups

#: With the built-in profile one good reading in two hundred is as far from its prediction.
_DOUBT = 9.0
#: Without `jumps.sd` a jump's standard deviation is this share of the range.
_JUMP_SHARE = 1.0 / 40.0


class Parameters(NamedTuple):
    """The model and the policy of one profile."""

    profile: Profile
    population: Estimate[float] | None
    """Of a user before their first reading. None: the first reading is believed as it stands."""
    slope_mean: float
    slope_variance: float
    """P11 of a filter that (re)starts."""
    doubt: float
    """A reading whose normalised innovation squared is larger raises a question."""
    fault: float
    repeated: float
    wrong_unit: float
    """Share of wrong readings that are right in another unit; 0 where there is none."""
    occasion_gain: float
    """A transition's gain over the longest gap within one occasion: a gain rises with its gap."""
    jump: float
    jump_variance: float
    ratios: tuple[float, ...]
    """By which a value in a mistaken unit is wrong."""
    variances: F64
    """(256,) R of each source code for a typical user."""
    prior: float
    """Readings that the profile's noise is worth, in whole quarters."""
    memory: float
    """Most readings that a user's own noise adds to them, in whole quarters."""
    learns: bool


def parameters_of(profile: Profile) -> Parameters:
    """The numbers of a profile."""
    low, high = profile.range
    # A larger ratio takes no value inside the plausible range to another one inside it.
    widest = max(abs(low), abs(high))
    nearest = max(low, 1e-6 * widest)
    ratios = tuple(r for r in mix_ups(profile.unit) if nearest / widest <= r <= widest / nearest)
    slope_variance = profile.slope_prior * profile.slope_prior
    level_mean, level_sd = profile.population.level_mean, profile.population.level_sd
    slope_mean = profile.population.slope_mean
    population = None
    if level_mean is not None and level_sd is not None:
        population = Estimate(level_mean, slope_mean, level_sd * level_sd, 0.0, slope_variance)
    jump_sd = profile.jumps.sd if profile.jumps.sd is not None else _JUMP_SHARE * (high - low)
    learning = profile.learning
    prior = _quarters(learning.prior) if learning else 0.0
    memory = _quarters(learning.memory) if learning else 1.0
    return Parameters(
        profile,
        population,
        slope_mean,
        slope_variance,
        _DOUBT if profile.faults.share > 0.0 else inf,
        profile.faults.share,
        profile.faults.repeated,
        profile.faults.wrong_unit if ratios else 0.0,
        float(transition(profile, np.array([profile.faults.occasion])).gain[0]),
        profile.jumps.share,
        jump_sd * jump_sd,
        ratios,
        measurement_variances(profile),
        prior,
        max(memory - prior, 1.0),
        learning is not None,
    )


def _quarters(readings: float) -> float:
    return round(4.0 * readings) / 4.0
