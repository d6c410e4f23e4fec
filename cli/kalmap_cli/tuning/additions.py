"""What sources, the time of day and the day of the week add to readings: their regression.

The filter is linear, so what is added to readings goes through it as they do. A filter with a
column for each source, hour and weekday beside the readings gives the innovations of all, and the
additions are the coefficients of their regression, weighted by the innovations' variances (de Jong,
The diffuse Kalman filter, Annals of Statistics 19, 1991). What a user's first reading says is left
out, as it cannot be told from the level: readings always at one hour say nothing of others.

The coefficients have normal priors. Those of hours form a smooth curve that returns to itself, with
mean zero over the day. An addition is kept if the evidence of the readings (Rasmussen and Williams,
Gaussian Processes for Machine Learning, 2006, section 5.4) is worth its parameters. Else it is 0.
"""

from itertools import product
from math import log
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap import units
from kalmap.filter.model import MICROSECONDS_PER_DAY, measurement_variances, transition
from kalmap.filter.offsets import offsets
from kalmap.profile import Profile, Rhythm
from kalmap.readings import F64, I64, Bool
from kalmap_cli.tuning.users import Typical, Users

_HOURS, _DAYS = 24, 7
_WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
#: With fewer readings the rhythm stays, and with fewer of a source its bias.
LEAST_READINGS = 200
#: Standard deviations of additions that are tried, in noises of readings.
_SIZES = 2.0 ** np.arange(-6.0, 6.0)
#: Over what share of the day the curve of hours bends.
_LENGTHS = (0.5, 1.0, 2.0)
#: Least gain of an addition, in nats: strong evidence.
_STRONG = 3.0
#: Weights of readings depend on the coefficients, and these on the weights.
_ROUNDS = 2
#: The first reading only starts a filter: its prior is this much wider than what is typical.
_WIDE = 1e3
_MOST_SURPRISE, _LEAST_SCALE = 16.0, 0.02
#: Of the mean square of a standard innovation: readings may be all equal.
_LEAST_SPREAD = 0.01


class Additions(NamedTuple):
    """What is added to readings."""

    biases: dict[str, float]
    rhythm: Rhythm
    unknown: float
    """What sources add that the profile does not list; a profile has no field for it."""

    def put(self, profile: Profile) -> Profile:
        """The profile with them."""
        return msgspec.structs.replace(profile, biases=self.biases, rhythm=self.rhythm)

    def described(self, profile: Profile) -> list[str]:
        """Sentences about them."""
        unit, found = units.shown(profile.unit), []
        for name, bias in self.biases.items():
            found.append(
                f"Readings of source {name} are {_more_or_less(bias, unit)} than those of the most "
                "frequent source (field biases)."
            )
        if self.unknown:
            found.append(
                "Readings of sources that the profile does not list are "
                f"{_more_or_less(self.unknown, unit)} than those of the most frequent source. Only "
                "a listed source can have a bias: add it to the field sources."
            )
        if self.rhythm.daily:
            hours = self.rhythm.daily
            low, high = int(np.argmin(hours)), int(np.argmax(hours))
            found.append(
                f"Readings rise and fall with the day, from {hours[low]:+.3g} {unit} at "
                f"{low:02}:00 to {hours[high]:+.3g} {unit} at {high:02}:00 UTC (field "
                "rhythm.daily)."
            )
        if self.rhythm.weekly:
            days = self.rhythm.weekly
            low, high = int(np.argmin(days)), int(np.argmax(days))
            found.append(
                f"Readings rise and fall with the week, from {days[low]:+.3g} {unit} on "
                f"{_WEEKDAYS[low]} to {days[high]:+.3g} {unit} on {_WEEKDAYS[high]} (field "
                "rhythm.weekly)."
            )
        return found

    def less(self, profile: Profile, users: Users) -> Users:
        """The readings without them."""
        added = offsets(self.put(profile), users.time, users.source)
        return users if added is None else users._replace(value=users.value - added)


class _Readings(NamedTuple):
    users: Users
    good: Bool
    common: list[int]
    """Codes of the sources that have columns."""


class _Products(NamedTuple):
    """Weighted sums of products of the columns' innovations."""

    columns: F64
    """(columns, columns) Of each two."""
    readings: F64
    """(columns,) With the readings' own."""


class _Part(NamedTuple):
    """Some columns, and what is believed of their coefficients: normal, with mean zero."""

    name: str
    columns: I64
    covariances: list[F64]
    """Those to choose from."""
    parameters: int
    """By how many numbers they differ."""


def fit_additions(profile: Profile, users: Users, good: Bool, typical: Typical) -> Additions:
    """The additions that the readings are worth.

    Args:
        profile: The model. Its own additions stay where there are too few readings to tell.
        users: Readings as they are.
        good: Which of them to believe.
        typical: What is typical of them.
    """
    counts = np.bincount(users.source, minlength=256)
    reference = int(np.argmax(counts))
    common = [int(c) for c in np.flatnonzero(counts >= LEAST_READINGS) if c != reference]
    names = profile.source_names
    biases = _kept(profile, counts, reference)
    enough = users.value.size >= LEAST_READINGS
    rhythm = Rhythm() if enough else profile.rhythm
    users = Additions(biases, rhythm, 0.0).less(profile, users)
    found: dict[str, F64] = {}
    if enough:
        parts = _parts(len(common), float(np.sqrt(np.median(_noise(profile, users)))))
        readings = _Readings(users, good, common)
        coefficients = np.zeros(len(common) + _HOURS + _DAYS)
        for _ in range(_ROUNDS):
            products = _products(profile, readings, typical, coefficients)
            found = _worth_it(parts, products, max(_STRONG, 0.5 * log(users.value.size)))
            coefficients[:] = 0.0
            for part in parts:
                if part.name in found:
                    coefficients[part.columns] = found[part.name]
    unknown = 0.0
    for number, code in enumerate(common):
        value = found.get(f"source {number}")
        if value is None:
            continue
        if code < len(names):
            biases[names[code]] = _short(float(value[0]))
        else:
            unknown = _short(float(value[0]))
    if enough:
        rhythm = Rhythm(*(tuple(map(_short, found.get(part, ()))) for part in ("daily", "weekly")))
    return Additions(biases, rhythm, unknown)


def _kept(profile: Profile, counts: I64, reference: int) -> dict[str, float]:
    """Biases of sources with too few readings, over that of the source which now has none."""
    names = profile.source_names
    base = profile.biases.get(names[reference], 0.0) if reference < len(names) else 0.0
    return {
        name: profile.biases[name] - base
        for code, name in enumerate(names)
        if code != reference and counts[code] < LEAST_READINGS and profile.biases.get(name)
    }


def _more_or_less(bias: float, unit: str) -> str:
    return f"{abs(bias):.3g} {unit} {'more' if bias > 0.0 else 'less'}"


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _noise(profile: Profile, users: Users) -> F64:
    noise: F64 = measurement_variances(profile)[users.source]
    return noise


def _columns(users: Users, common: list[int]) -> F64:
    """(readings, columns) The sources, the hours as `kalmap.filter.offsets` has them, weekdays."""
    found = np.zeros((users.value.size, len(common) + _HOURS + _DAYS))
    row = np.arange(users.value.size)
    for number, code in enumerate(common):
        found[:, number] = users.source == code
    hour, inside = np.divmod(np.mod(users.time / MICROSECONDS_PER_DAY, 1.0) * _HOURS, 1.0)
    first = hour.astype(np.int64) % _HOURS
    found[row, len(common) + first] = 1.0 - inside
    found[row, len(common) + (first + 1) % _HOURS] += inside
    weekday = (users.time // int(MICROSECONDS_PER_DAY) + 3) % _DAYS
    found[row, len(common) + _HOURS + weekday] = 1.0
    return found


def _products(
    profile: Profile, readings: _Readings, typical: Typical, coefficients: F64
) -> _Products:
    """Filter the readings and the columns under the profile's plain model.

    Readings that are far off, given these coefficients, have less weight.
    """
    users, good, common = readings
    values = np.column_stack((users.value, _columns(users, common)))
    steps = transition(profile, users.histories.gap)
    noises = _noise(profile, users)
    drifts = np.zeros((2, users.value.size))
    if steps.level_drift is not None and steps.slope_drift is not None:
        drifts = np.stack((steps.level_drift, steps.slope_drift))
    order = np.argsort(-users.counts, kind="stable")
    lengths, first = users.counts[order], (np.cumsum(users.counts) - users.counts)[order]
    size, width = users.counts.size, values.shape[1]
    level, slope = np.zeros((size, width)), np.zeros((size, width))
    level[:, 0], slope[:, 0] = typical.first, profile.population.slope_mean
    p00 = np.full((size, 1), (_WIDE * typical.first_sd) ** 2)
    p01, p11 = np.zeros((size, 1)), np.full((size, 1), profile.slope_prior**2)
    scale, counts = np.ones((size, 1)), np.zeros((size, 1))
    learning, started = profile.learning, np.zeros((size, 1), np.bool_)
    total, squares, number = np.zeros((width, width)), 0.0, 0
    for step in range(int(lengths[0])):
        lanes = int(np.searchsorted(-lengths, -step))
        at = first[:lanes] + step
        x, v, a, b, c = (part[:lanes] for part in (level, slope, p00, p01, p11))
        if step:
            g, e, q00, q01, q11 = (part[at][:, None] for part in steps[:5])
            x, v = x + g * v, e * v
            x[:, 0] += drifts[0, at]
            v[:, 0] += drifts[1, at]
            moved = b + g * c
            a = a + g * (b + moved) + q00
            b, c = e * moved + q01, e * (e * c) + q11
        usable = good[at][:, None]
        noise = noises[at][:, None] * scale[:lanes]
        y, variance = values[at] - x, a + noise
        left = y[:, :1] - y[:, 1:] @ coefficients[:, None]
        nis = left**2 / variance
        counted = usable & started[:lanes]
        freedom = counts[:lanes] + (learning.prior if learning else 63.0)
        weight = counted * (freedom + 1.0) / ((freedom + nis) * variance)
        total += (y * weight).T @ y
        squares += float((weight * left**2).sum())
        number += int(counted.sum())
        gain = usable / variance
        level[:lanes], slope[:lanes] = x + a * gain * y, v + b * gain * y
        p11[:lanes] = np.maximum(c - b * b * gain, 0.0)
        kept = np.where(usable, noise / variance, 1.0)
        p00[:lanes], p01[:lanes] = a * kept, b * kept
        if learning is not None:
            counts[:lanes] = np.minimum(counts[:lanes] + counted, learning.memory)
            after = counts[:lanes] + learning.prior
            factor = 1.0 + counted * (np.minimum(nis, _MOST_SURPRISE) - 1.0) / after
            scale[:lanes] = np.maximum(scale[:lanes] * factor, _LEAST_SCALE)
        started[:lanes] |= usable
    # Weighted so that the mean square of an innovation is one.
    spread = max(squares / max(number, 1), _LEAST_SPREAD)
    return _Products(total[1:, 1:] / spread, total[1:, 0] / spread)


def _parts(sources: int, noise: float) -> list[_Part]:
    sizes = (noise * _SIZES) ** 2
    found = [
        _Part(f"source {number}", np.array([number]), [size * np.ones((1, 1)) for size in sizes], 1)
        for number in range(sources)
    ]
    turn = np.sin(np.pi * np.subtract.outer(np.arange(_HOURS), np.arange(_HOURS)) / _HOURS)
    curves = [_centred(np.exp(-2.0 * (turn / length) ** 2)) for length in _LENGTHS]
    hours, days = sources + np.arange(_HOURS), sources + _HOURS + np.arange(_DAYS)
    daily = [size * curve for size, curve in product(sizes, curves)]
    found.append(_Part("daily", hours, daily, 2))
    found.append(_Part("weekly", days, [size * _centred(np.eye(_DAYS)) for size in sizes], 1))
    return found


def _centred(covariance: F64) -> F64:
    """That of coefficients less their mean."""
    less = np.eye(len(covariance)) - 1.0 / len(covariance)
    found: F64 = less @ covariance @ less
    return found


def _worth_it(parts: list[_Part], products: _Products, worth: float) -> dict[str, F64]:
    """The coefficients of the parts that are worth their parameters, by their names."""
    size = products.readings.size
    prior, most = np.zeros((size, size)), 0.0
    left, chosen = list(parts), []
    while left:
        tried = []
        for part in left:
            covariance, evidence = _best(part, prior, products)
            tried.append((evidence - most - worth * part.parameters, covariance, evidence, part))
        gain, covariance, evidence, part = max(tried, key=lambda each: each[0])
        if gain <= 0.0:
            break
        prior, most = covariance, evidence
        left.remove(part)
        chosen.append(part)
    for part in chosen:
        # How large one is depends on what else there is.
        without = prior.copy()
        without[np.ix_(part.columns, part.columns)] = 0.0
        prior, _ = _best(part, without, products)
    inner = np.eye(size) + prior @ products.columns
    coefficients = np.asarray(np.linalg.solve(inner, prior @ products.readings), np.float64)
    return {part.name: coefficients[part.columns] for part in chosen}


def _best(part: _Part, prior: F64, products: _Products) -> tuple[F64, float]:
    """The prior of all coefficients with this part's best one, and its evidence."""
    tried = []
    for covariance in part.covariances:
        with_it = prior.copy()
        with_it[np.ix_(part.columns, part.columns)] = covariance
        tried.append((_evidence(with_it, products), with_it))
    evidence, best = max(tried, key=lambda each: each[0])
    return best, evidence


def _evidence(prior: F64, products: _Products) -> float:
    """Log-likelihood of the readings over that without additions."""
    used = np.flatnonzero(prior.any(axis=0))
    prior, among = prior[np.ix_(used, used)], products.columns[np.ix_(used, used)]
    inner = np.eye(used.size) + prior @ among
    readings = products.readings[used]
    fitted = float(readings @ np.linalg.solve(inner, prior @ readings))
    return 0.5 * fitted - 0.5 * float(np.linalg.slogdet(inner)[1])
