"""Fitting level, slope, noises and population to readings whose wild ones are known.

Several starts, scaled in value and time to what is typical of the readings, are improved, and the
best is kept. Then each term of the model is tried without: what does not pay for itself by the
Bayesian information criterion (Schwarz, Annals of Statistics 6, 1978) becomes exactly zero. Its
sample is of users, since all terms but the noise describe how users differ.
"""

from math import inf, log
from typing import NamedTuple

import numpy as np

from kalmap.readings import F64
from kalmap_cli.tuning.ascent import ascent
from kalmap_cli.tuning.plain import Models, Packed, log_likelihood
from kalmap_cli.tuning.users import Typical

#: Terms of the model that may be left out, each with the number of its parameter.
TERMS = {"level_noise": 1, "slope_noise": 2, "damping": 3, "slope_sd": 4, "slope_mean": 5}
_LEVEL_SD, _LEVEL_MEAN, _LEARNED, _SOURCES = 6, 7, 8, 9
#: Parameters that are not logarithms.
_LINEAR = (TERMS["slope_mean"], _LEVEL_MEAN)
#: Few users say little of how their noises differ. The logarithm of the readings that the profile's
#: noise is worth to each is expected here, and this is half of that one's precision.
LEARNED_PRIOR = (log(20.0), 2.0)
#: Above what is typical, as logarithms.
_HIGHEST = np.array([4.0, 4.0, 6.0, 6.0, 6.0])
#: A search ends when a step gains less than this, in nats.
_GAIN = 0.02
#: So many nats a search may gain back that leaving out a term has lost.
_MADE_UP = 100.0
#: Users times searches that are answered in one call.
_AT_ONCE = 1_000
#: A first reading that does not count only starts the filter: its prior is this much wider.
_WIDE = 1e3


class Point(NamedTuple):
    """A model with its place in the search."""

    terms: frozenset[str]
    place: F64
    """(parameters,) Logarithms, but _LINEAR in units of what is typical."""
    likelihood: float


class Search:
    """Looks for the model under which readings are most likely."""

    def __init__(self, readings: Packed, typical: Typical, sources: int, *, learns: bool) -> None:
        """Prepare.

        Args:
            readings: To fit.
            typical: What is typical of them.
            sources: Sources in use; the first one's multiplier is 1.
            learns: Whether each user's noise is learned.
        """
        self._readings, self._typical, self._learns = readings, typical, learns
        self._others = sources - 1
        self._pace = max(typical.pace_sd, abs(typical.pace), 1e-12)

    def starts(self) -> list[F64]:
        """Where to begin: random walk; steady, wavering, forgetful slope; a rush that ends."""
        gap, change, bend = self._typical.gap, self._typical.change, self._typical.bend
        pace = self._typical.pace_sd
        return [
            self._place(noise, level, slope, damping, slope_sd)
            for noise, level, slope, damping, slope_sd in (
                (0.6 * change, 0.6 * change / gap**0.5, 0.01 * change / gap**1.5, 0.1, 0.1 * pace),
                (bend, 0.1 * bend / gap**0.5, 0.03 * bend / gap**1.5, 0.03, pace),
                (bend, 0.1 * bend / gap**0.5, 0.3 * bend / gap**1.5, 0.1, pace),
                (0.7 * change, 0.1 * change / gap**0.5, 0.5 * change / gap**1.5, 1.0, 0.3 * pace),
                (bend, bend / gap**0.5, bend / gap**1.5, 2.0, 10.0 * change / gap),
            )
        ]

    def best_of(self, starts: list[F64]) -> Point:
        """The best model with all terms."""
        terms = frozenset(TERMS)
        found = self.improved([Point(terms, start, -inf) for start in starts], 12)
        found.sort(key=lambda point: -point.likelihood)
        return max(self.improved(found[:2], 40), key=lambda point: point.likelihood)

    def improved(self, points: list[Point], rounds: int) -> list[Point]:
        """The same terms, with better parameters."""
        # Few users take as long as one: then several searches are answered in one call.
        most = max(1, _AT_ONCE // self._readings.widths[0])
        return [
            point
            for first in range(0, len(points), most)
            for point in self._improved_together(points[first : first + most], rounds)
        ]

    def _improved_together(self, points: list[Point], rounds: int) -> list[Point]:
        low, high = self._bounds()
        free = [self._free(point.terms) for point in points]
        searches = [
            ascent(point.place[each], low[each], high[each], rounds=rounds, gain=_GAIN)
            for point, each in zip(points, free, strict=True)
        ]
        asked = {number: next(search) for number, search in enumerate(searches)}
        improved = [*points]
        while asked:
            places = {n: self._placed(points[n], free[n], values) for n, values in asked.items()}
            answers = self._likelihoods([(places[n], points[n].terms) for n in asked])
            for number, values in zip([*asked], answers, strict=True):
                try:
                    asked[number] = searches[number].send(values)
                except StopIteration as end:
                    best, likelihood = end.value
                    [place] = self._placed(points[number], free[number], best[None])
                    improved[number] = Point(points[number].terms, place, likelihood)
                    del asked[number]
        return improved

    @staticmethod
    def _placed(point: Point, free: list[int], values: F64) -> F64:
        """Places with values, (places, free), where the point's terms are free."""
        places = np.repeat(point.place[None], len(values), axis=0)
        places[:, free] = values
        return places

    def _likelihoods(self, asked: list[tuple[F64, frozenset[str]]]) -> list[F64]:
        """What a search maximises, at places of models with these terms."""
        with np.errstate(all="ignore"):
            models = [self._models(places, terms) for places, terms in asked]
            at_once = Models(*(np.concatenate(each, axis=-1) for each in zip(*models, strict=True)))
            found = log_likelihood(at_once, self._readings)
        ends = np.cumsum([len(places) for places, _ in asked])
        answers = zip(np.split(found, ends[:-1]), asked, strict=True)
        found_with = [values + self._prior(places) for values, (places, _) in answers]
        return [np.where(np.isfinite(values), values, -1e300) for values in found_with]

    def simplest(self, point: Point) -> Point:
        """Without the terms that do not pay for themselves."""
        while point.terms:
            shorter = [self._shortened(point, term) for term in sorted(point.terms)]
            at_once = max(shorter, key=self.worth)
            if self.worth(at_once) < self.worth(point):
                # The other parameters may make up for what is lost, but not for much.
                hopeful = [
                    each for each in shorter if self.worth(each) > self.worth(point) - _MADE_UP
                ]
                at_once = max(self.improved(hopeful, 8), key=self.worth, default=at_once)
            if self.worth(at_once) < self.worth(point):
                break
            point = at_once
        [point] = self.improved([point], 30)
        return point

    def _shortened(self, point: Point, term: str) -> Point:
        shorter = point._replace(terms=self._without(point.terms, term))
        with np.errstate(all="ignore"):
            found = log_likelihood(self.model(shorter), self._readings)
        return shorter._replace(likelihood=float(found[0]) + float(self._prior(point.place)))

    def _prior(self, places: F64) -> F64:
        """Logarithm of the prior of places, (..., parameters)."""
        expected, half = LEARNED_PRIOR
        found: F64 = -half * (places[..., _LEARNED] - expected) ** 2
        return found if self._learns else 0.0 * found

    def worth(self, point: Point) -> float:
        """Minus half of the information criterion: Schwarz's, but Akaike's of few users."""
        users = self._readings.widths[0]
        return point.likelihood - len(self._free(point.terms)) * max(1.0, 0.5 * log(users))

    def model(self, point: Point) -> Models:
        """The one model of a point."""
        return self._models(point.place[None], point.terms)

    def _without(self, terms: frozenset[str], term: str) -> frozenset[str]:
        left = terms - {term}
        # Where no slope differs from the mean, none returns to it.
        return left if left & {"slope_noise", "slope_sd"} else left - {"damping"}

    def _free(self, terms: frozenset[str]) -> list[int]:
        free = [0, *sorted(TERMS[term] for term in terms)]
        if self._readings.weighs_first:
            free += [_LEVEL_SD, _LEVEL_MEAN]
        if self._learns:
            free.append(_LEARNED)
        return free + list(range(_SOURCES, _SOURCES + self._others))

    def _place(
        self, noise: float, level: float, slope: float, damping: float, slope_sd: float
    ) -> F64:
        typical = self._typical
        logs = np.log([max(noise, typical.floor), level, slope, damping / typical.gap, slope_sd])
        mean = typical.pace / self._pace
        return np.array([*logs, mean, log(typical.first_sd), 0.0, log(8.0), *[0.0] * self._others])

    def _bounds(self) -> tuple[F64, F64]:
        typical, gap = self._typical, self._typical.gap
        change = np.log([typical.change, typical.change / gap**0.5, typical.change / gap**1.5,
                         1.0 / gap, max(self._pace, typical.change / gap)])  # fmt: skip
        others = [log(100.0)] * self._others
        low = np.array([*(change - 12.0), -50.0, log(typical.first_sd) - 8.0, -10.0, 0.0,
                        *np.negative(others)])  # fmt: skip
        high = np.array([*(change + _HIGHEST), 50.0, log(typical.first_sd) + 3.0,
                         10.0, log(60.0), *others])  # fmt: skip
        if typical.floor:
            low[0] = log(typical.floor)
        return low, high

    def _models(self, places: F64, terms: frozenset[str]) -> Models:
        columns = np.exp(places[:, :_SOURCES]).T
        columns[TERMS["slope_mean"]] = self._pace * places[:, TERMS["slope_mean"]]
        for term, number in TERMS.items():
            if term not in terms:
                columns[number] = 0.0
        typical = self._typical
        columns[_LEVEL_MEAN] = typical.first + typical.first_sd * places[:, _LEVEL_MEAN]
        if not self._readings.weighs_first:
            columns[_LEVEL_MEAN], columns[_LEVEL_SD] = typical.first, _WIDE * typical.first_sd
        if not self._learns:
            columns[_LEARNED] = inf
        multiplier = np.ones((1 + self._others, len(places)))
        multiplier[1:] = np.exp(places[:, _SOURCES:]).T
        return Models._make([*columns[:_SOURCES], multiplier])
