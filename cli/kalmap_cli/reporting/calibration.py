"""Calibration: do readings fall where the filter expected them, as often as it says?

A filter that is right gives surprises (innovations) whose squares, in units of their variance, have
a chi-square distribution with one degree of freedom (the NIS), and whose probabilities under the
prediction (the PIT) are uniform. Bar-Shalom, Li, Kirubarajan, "Estimation with Applications to
Tracking and Navigation" (2001), section 5.4; Gneiting, Balabdaoui, Raftery, "Probabilistic
forecasts, calibration and sharpness" (2007).
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from kalmap.readings import F64
from kalmap_cli.reporting.sample import Sample

#: Intervals whose coverage is counted, as probabilities.
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
_PIT_BINS = 20
_NIS_BINS = 24
_NIS_MOST = 6.0
#: With fewer readings nothing can be said.
_ENOUGH = 100
#: The interval of 95 % may hold so few or so many before a profile is worth tuning.
_TOO_FEW, _TOO_MANY = 0.92, 0.985
#: Beyond this a mean NIS is worth a word: some readings lie far out.
_HIGH_NIS = 1.25
_NORMAL = NormalDist()


class Bar(NamedTuple):
    """A bar of a histogram."""

    start: float
    end: float
    share: float
    """Of the readings."""
    expected: float
    """The share if the filter is right."""


class Coverage(NamedTuple):
    """How many readings fell into the interval of a probability."""

    level: float
    share: float


class Calibration(NamedTuple):
    """Of the accepted readings that the filter could predict."""

    readings: int
    mean_nis: float
    nis: list[Bar]
    pit: list[Bar]
    coverage: list[Coverage]
    sentences: list[str]
    """What it means, and what to do."""


def calibration_of(sample: Sample) -> Calibration | None:
    """The calibration of a sample; None if no reading could be predicted.

    Only accepted readings are counted: a rejected one is a fault, which no variance describes.
    """
    nis = sample.numbers["nis"]
    counted = sample.of_status("accepted") & ~np.isnan(nis)
    if not counted.any():
        return None
    nis = nis[counted]
    score = np.copysign(np.sqrt(nis), sample.numbers["innovation"][counted])
    mean = float(nis.mean())
    coverage = [Coverage(level, float(np.mean(nis <= _quantile(level)))) for level in LEVELS]
    return Calibration(
        int(nis.size), mean, _nis(nis), _pit(score), coverage, _explain(nis, coverage)
    )


def _quantile(probability: float) -> float:
    """The quantile of the chi-square distribution with one degree of freedom."""
    return float(_NORMAL.inv_cdf(0.5 + probability / 2.0) ** 2)


def _probability(nis: float) -> float:
    """The probability that a chi-square variable with one degree of freedom is not above `nis`."""
    return 2.0 * _NORMAL.cdf(nis**0.5) - 1.0


def _nis(nis: F64) -> list[Bar]:
    edges = np.linspace(0.0, _NIS_MOST, _NIS_BINS + 1)
    counts, _ = np.histogram(nis, edges)
    return [
        Bar(start, end, count / nis.size, _probability(end) - _probability(start))
        for start, end, count in zip(edges, edges[1:], counts.tolist(), strict=False)
    ]


def _pit(score: F64) -> list[Bar]:
    inner = [_NORMAL.inv_cdf(n / _PIT_BINS) for n in range(1, _PIT_BINS)]
    counts = np.bincount(np.searchsorted(inner, score), minlength=_PIT_BINS)
    return [
        Bar(n / _PIT_BINS, (n + 1) / _PIT_BINS, count / score.size, 1.0 / _PIT_BINS)
        for n, count in enumerate(counts.tolist())
    ]


def _explain(nis: F64, coverage: list[Coverage]) -> list[str]:
    if nis.size < _ENOUGH:
        return [f"{nis.size:,} readings could be predicted: too few to judge the profile by."]
    held = next(one.share for one in coverage if one.level == 0.95)
    mean = float(nis.mean())
    fact = (
        f"Of 100 accepted readings, {100 * held:.0f} fell into the interval that should hold 95. "
        f"The mean surprise (NIS) is {mean:.2f}; 1 is right."
    )
    return [fact, _verdict(nis, held, mean)]


def _verdict(nis: F64, held: float, mean: float) -> str:
    """What to do about it."""
    if held < _TOO_FEW:
        times = float(np.sqrt(np.quantile(nis, 0.95) / _quantile(0.95)))
        return (
            f"The intervals are too narrow: readings scatter about {times:.1f} times as far as the "
            "profile says. `kalmap tune FILE` fits a profile to your readings."
        )
    if held > _TOO_MANY:
        return (
            "The intervals are wider than they need to be, so faults are found late. `kalmap tune "
            "FILE` fits a profile to your readings."
        )
    if mean > _HIGH_NIS:
        return (
            "The profile fits most readings. A few that were believed lie far out, as after a jump "
            "of the level, and raise the mean. There is nothing to do."
        )
    return "The profile fits these readings. There is nothing to do."
