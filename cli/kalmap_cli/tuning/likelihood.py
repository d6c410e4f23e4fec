"""The likelihood of a profile: how probable its filter held the readings, before it saw them.

The product of the densities of all readings is the likelihood of the profile that gave them (the
prediction error decomposition; Harvey, Forecasting, Structural Time Series Models and the Kalman
Filter, 1989, section 3.4). The filter's densities have wild readings and jumps in them, so these
need not be taken out.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter.columns import REASON_BITS, RESTARTED, empty_belief
from kalmap.filter.forward import filter_histories
from kalmap.filter.hypotheses import wrong_density
from kalmap.filter.noise import POPULATION, student_t
from kalmap.filter.offsets import offsets
from kalmap.filter.packed import Start
from kalmap.filter.parameters import Parameters, parameters_of
from kalmap.profile import Profile
from kalmap.readings import F64, I64, U8, Bool
from kalmap_cli.tuning.users import Users


class Foretold(NamedTuple):
    """What a profile's filter said of each reading; arrays of shape (readings,)."""

    log_density: F64
    """NaN where the profile knows no population and the reading is its user's first."""
    predicted: F64
    """NaN, with the next three, at a user's first reading."""
    innovation: F64
    nis: F64
    readings: F64
    """Readings behind the user's noise, after each reading."""
    wrong: F64
    """Probability that the reading is wrong."""
    reason: U8
    restarted: Bool


def foretell(profile: Profile, users: Users) -> Foretold:
    """Fold readings of new users."""
    added = offsets(profile, users.time, users.source)
    if added is None:
        added = np.zeros(users.value.size)
    users = users._replace(value=users.value - added)
    parameters, histories = parameters_of(profile), users.histories
    size = users.counts.size
    start = Start(np.zeros(size, np.bool_), empty_belief(size), histories.counts)
    with np.errstate(all="ignore"):
        path = filter_histories(parameters, histories, start)
        at = path.position
        density = path.density[at]
        # The filter leaves out the density of a first reading that raises no question.
        first = np.flatnonzero(users.begin & np.isnan(density))
        if parameters.population is not None and first.size:
            density[first] = _first_density(parameters, users, first)
        flags = path.flags[at]
        return Foretold(
            np.log(np.maximum(density, 1e-300)),
            path.predicted[at] + added,
            users.value - path.predicted[at],
            path.nis[at],
            path.readings[at],
            path.wrong[at],
            (flags & REASON_BITS).astype(np.uint8),
            (flags & RESTARTED) > 0,
        )


def mean_log_likelihood(profile: Profile, users: Users) -> float:
    """Of a reading, in nats; more is better. NaN if there is none that counts."""
    density = foretell(profile, users).log_density
    known = ~np.isnan(density)
    return float(density[known].mean()) if known.any() else float("nan")


def _first_density(parameters: Parameters, users: Users, first: I64) -> F64:
    assert parameters.population is not None
    value = users.value[first]
    away = value - parameters.population.level
    variance = parameters.population.p00 + parameters.variances[users.source[first]]
    right = student_t(away * away, variance, POPULATION)
    wrong = (1.0 - parameters.wrong_unit) * wrong_density(parameters, value)
    return (1.0 - parameters.fault) * right + parameters.fault * wrong
