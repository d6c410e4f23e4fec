"""Standard errors of a fitted profile's numbers, from the curvature of the likelihood.

Near its top the logarithm of the likelihood is a parabola, and the inverse of its curvature is the
covariance of the numbers (Efron and Hinkley, Biometrika 65, 1978). Noises and rates are taken as
logarithms. Where the likelihood is flat, the readings do not determine a number.
"""

from itertools import combinations
from math import inf
from typing import NamedTuple

import numpy as np

from kalmap import units
from kalmap.profile import Profile
from kalmap.readings import F64, I64, UNKNOWN_SOURCE
from kalmap_cli.tuning.plain import Models, Packed, log_likelihood

#: Step of the differences, in logarithms.
_STEP = 0.05
#: Less curvature than this, in nats per squared unit of a logarithm, determines nothing.
_FLAT = 2.0


class Number(NamedTuple):
    """A fitted number of a profile."""

    name: str
    value: float
    error: float | None
    """Its standard error. None: the readings do not determine it, or it is zero."""
    unit: str

    def __str__(self) -> str:
        """A line for the screen."""
        if self.value == 0.0:
            said = "0: the readings do not show it"
        elif self.error is None:
            said = f"{self.value:.4g} {self.unit}, not determined: the likelihood is flat"
        else:
            said = f"{self.value:.4g} ({self.error:.1g}) {self.unit}"
        return f"{self.name:<23}{said}"


class _Field(NamedTuple):
    name: str
    column: str
    """Of `Models`."""
    value: float
    unit: str
    scale: float = 0.0
    """A unit of the number; 0 if its logarithm is meant."""

    def moved(self, steps: F64) -> F64:
        return self.value + self.scale * steps if self.scale else self.value * np.exp(steps)


def standard_errors(profile: Profile, readings: Packed, codes: I64) -> list[Number]:
    """The profile's main numbers with their standard errors.

    Args:
        profile: The fitted one.
        readings: Those that it was fitted to, without what is added to them.
        codes: Source codes in use, as in `readings`.
    """
    fields = _fields(profile)
    free = [field for field in fields if field.value != 0.0 or field.scale]
    moves = _moves(len(free))
    with np.errstate(all="ignore"):
        found = log_likelihood(_models(profile, free, moves, codes), readings)
    errors = _errors(found, len(free))
    numbers = []
    for field in fields:
        error = None
        if field in free:
            relative = errors[free.index(field)]
            error = None if relative is None else relative * (field.scale or field.value)
        numbers.append(Number(field.name, field.value, error, field.unit))
    return numbers


def _fields(profile: Profile) -> list[_Field]:
    unit, population = units.shown(profile.unit), profile.population
    pace = max(profile.slope_prior, abs(population.slope_mean))
    found = [
        _Field("measurement_noise", "noise", profile.measurement_noise, unit),
        _Field("level_noise", "level_noise", profile.level_noise, f"{unit}/day^0.5"),
        _Field("slope_noise", "slope_noise", profile.slope_noise, f"{unit}/day^1.5"),
        _Field("slope_damping", "damping", profile.slope_damping, "/day"),
        _Field("slope_prior", "slope_sd", profile.slope_prior, f"{unit}/day"),
        _Field("population.slope_mean", "slope_mean", population.slope_mean, f"{unit}/day",
               pace if population.slope_mean else 0.0),
    ]  # fmt: skip
    if population.level_mean is not None and population.level_sd is not None:
        mean, spread = population.level_mean, population.level_sd
        found.append(_Field("population.level_mean", "level_mean", mean, unit, spread))
        found.append(_Field("population.level_sd", "level_sd", spread, unit))
    if profile.learning is not None:
        found.append(_Field("learning.prior", "learned", profile.learning.prior, "readings"))
    return found


def _moves(size: int) -> F64:
    """None, one step up and down each, and two fields one step up and down together."""
    steps = _STEP * np.eye(size)
    pairs = [steps[one] + steps[other] for one, other in combinations(range(size), 2)]
    both = np.array(pairs).reshape(-1, size)
    return np.concatenate((np.zeros((1, size)), steps, -steps, both, -both))


def _models(profile: Profile, free: list[_Field], moves: F64, codes: I64) -> Models:
    population, learning = profile.population, profile.learning
    one = np.ones(len(moves))
    columns = {
        "noise": profile.measurement_noise * one,
        "level_noise": profile.level_noise * one,
        "slope_noise": profile.slope_noise * one,
        "damping": profile.slope_damping * one,
        "slope_sd": profile.slope_prior * one,
        "slope_mean": population.slope_mean * one,
        "level_sd": (population.level_sd or 0.0) * one,
        "level_mean": (population.level_mean or 0.0) * one,
        "learned": (learning.prior if learning else inf) * one,
    }
    if population.level_mean is None:
        # The first reading starts the filter: nothing is known of the level before.
        columns["level_mean"] = 0.5 * sum(profile.range) * one
        columns["level_sd"] = 1e3 * (profile.range[1] - profile.range[0]) * one
    for number, field in enumerate(free):
        columns[field.column] = field.moved(moves[:, number])
    names = profile.source_names
    multipliers = [
        profile.unknown_source if code == UNKNOWN_SOURCE else profile.sources[names[code]]
        for code in codes.tolist()
    ]
    return Models(**columns, multiplier=np.array(multipliers)[:, None] * one)


def _errors(found: F64, size: int) -> list[float | None]:
    """Standard errors in units of the fields, from the values at `_moves`."""
    here, up, down = found[0], found[1 : 1 + size], found[1 + size : 1 + 2 * size]
    curvature = np.diag(2.0 * here - up - down)
    pairs = list(combinations(range(size), 2))
    both = found[1 + 2 * size :].reshape(2, len(pairs))
    for number, (one, other) in enumerate(pairs):
        # f(x+y) + f(-x-y) - 2 f = xx + yy + 2 xy
        sum_ = 2.0 * here - both[0, number] - both[1, number]
        mixed = 0.5 * (sum_ - curvature[one, one] - curvature[other, other])
        curvature[one, other] = curvature[other, one] = mixed
    curvature = np.nan_to_num(curvature) / _STEP**2
    left = list(range(size))
    while left:
        values, vectors = np.linalg.eigh(curvature[np.ix_(left, left)])
        if values[0] >= _FLAT:
            break
        # The one that is freest to move in the flattest direction; the others are given this one.
        left.pop(int(np.argmax(np.abs(vectors[:, 0]))))
    errors: list[float | None] = [None] * size
    covariance = np.linalg.inv(curvature[np.ix_(left, left)])
    for place, number in enumerate(left):
        errors[number] = float(covariance[place, place]) ** 0.5
    return errors
