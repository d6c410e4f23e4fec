"""How much wider predictions have to be for users that a profile was not fitted to.

Few users tell a profile's numbers only roughly, and no model is quite true. So what a profile
foretells of others is a little too sure. Here groups of users are left out in turn, the model is
fitted to the others, and its standard deviations are multiplied by the one factor under which the
readings left out are most likely (cross-validation; Stone, JRSS B 36, 1974). The filter weighs
readings by ratios of variances, so its levels and predictions stay the same.
"""

from collections.abc import Callable

import msgspec
import numpy as np

from kalmap.profile import Profile
from kalmap.readings import F64
from kalmap_cli.tuning.plain import Models, Packed, log_likelihood
from kalmap_cli.tuning.users import Users

#: Groups of users, each of which is left out once.
_GROUPS = 5
#: Logarithms of the factors that are tried, and the spread of their prior.
_LOGARITHMS = np.linspace(0.0, 0.6, 31)
_SPREAD = 0.1


def widening(
    users: Users, fitted: Callable[[Users], Models], packed: Callable[[Users], Packed]
) -> float:
    """The factor by which to multiply a profile's standard deviations, at least 1.

    Args:
        users: All readings.
        fitted: Fits one model to some of the users.
        packed: Their readings for the likelihood.
    """
    order = np.random.default_rng(3).permutation(users.counts.size)
    groups = min(_GROUPS, order.size // 2)
    found: F64 = -0.5 * (_LOGARITHMS / _SPREAD) ** 2
    for group in range(groups):
        left_out = np.sort(order[group::groups])
        others = np.setdiff1d(order, left_out)
        models = _times(fitted(users.of(others)), np.exp(_LOGARITHMS))
        with np.errstate(all="ignore"):
            found = found + log_likelihood(models, packed(users.of(left_out)))
    return float(np.exp(_LOGARITHMS[int(np.nanargmax(found))]))


def _times(model: Models, factor: F64) -> Models:
    """One model with its standard deviations multiplied by each factor."""
    one = np.ones(factor.size)
    wider = {
        name: getattr(model, name) * factor
        for name in ("noise", "level_noise", "slope_noise", "slope_sd", "level_sd")
    }
    same = {
        name: getattr(model, name) * one
        for name in ("damping", "slope_mean", "level_mean", "learned")
    }
    return Models(**wider, **same, multiplier=model.multiplier * one)


def widened(profile: Profile, factor: float) -> Profile:
    """The profile with its standard deviations multiplied."""
    population = profile.population
    spread = population.level_sd
    return msgspec.structs.replace(
        profile,
        measurement_noise=factor * profile.measurement_noise,
        level_noise=factor * profile.level_noise,
        slope_noise=factor * profile.slope_noise,
        slope_prior=factor * profile.slope_prior,
        population=msgspec.structs.replace(
            population, level_sd=None if spread is None else factor * spread
        ),
    )
