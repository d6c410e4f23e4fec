"""Simulated readings of what built-in profiles are for, by other rules than kalmap's.

No public data with many readings of each person were at hand for them. Means and spreads are those
of the papers that docs/profiles.md names; all else is made up: how often people measure, what comes
over them, and what goes wrong. Each function returns users' (day, value) pairs.
"""

from collections.abc import Callable

import numpy as np

Readings = list[list[tuple[float, float]]]
_YEAR = 365.25
#: Medians in kg of the weight of girls and boys together at 1, 2, ... 10 years (WHO Child Growth
#: Standards, 2006; WHO Growth Reference, 2007), and the coefficient of variation at both ends.
_MEDIANS = (9.3, 11.8, 14.1, 16.2, 18.3, 20.4, 22.6, 25.2, 28.2, 31.6)
_VARIATION = (0.11, 0.17)


def children(users: int, seed: int) -> Readings:
    """Weights of children who follow a percentile that drifts; weighed weekly to quarterly."""
    random, found = np.random.default_rng(seed), []
    for _ in range(users):
        age = random.uniform(1.0, 7.0)
        days = np.cumsum(random.gamma(2.0, random.choice([3.5, 14.0, 45.0]), 60))
        days = days[days < 3.0 * _YEAR]
        ages = age + days / _YEAR
        drift = np.cumsum(random.normal(0.0, 0.25, days.size) * np.sqrt(np.diff(days, prepend=0.0)))
        percentile = random.normal() + drift / np.sqrt(_YEAR)
        median = np.interp(ages, np.arange(1, 11), _MEDIANS)
        level = median * np.exp(percentile * np.interp(ages, (1.0, 10.0), _VARIATION))
        value = level + random.normal(0.0, random.uniform(0.1, 0.4), days.size)
        dressed = random.random(days.size) < 0.03
        value = value + dressed * random.uniform(0.7, 2.0, days.size)
        value = np.where(random.random(days.size) < 0.01, value / 0.45359237, value)
        value = np.where(random.random(days.size) < 0.01, random.uniform(8.0, 60.0), value)
        found.append(list(zip(days.tolist(), np.round(value, 1).tolist(), strict=True)))
    return found


def heart_rates(users: int, seed: int) -> Readings:
    """Resting heart rate of each day, with seasons, illness, late evenings, and readings awake."""
    random, found = np.random.default_rng(seed), []
    for _ in range(users):
        days = np.flatnonzero(random.random(150) < random.uniform(0.5, 1.0)).astype(float)
        season = random.uniform(0.3, 1.5) * np.cos(2.0 * np.pi * days / _YEAR)
        ill = np.zeros(150)
        for start in np.flatnonzero(random.random(150) < 0.01):
            length = int(random.integers(3, 8))
            ill[start : start + length] = random.uniform(4.0, 12.0)
        level = random.normal(65.5, 7.7) + season + ill[days.astype(int)]
        late = (random.random(days.size) < 0.06) * random.uniform(2.0, 7.0, days.size)
        value = level + late + random.normal(0.0, random.uniform(1.2, 3.0), days.size)
        awake = random.random(days.size) < 0.01
        value = np.round(np.where(awake, value + random.uniform(15.0, 50.0), value))
        found.append(list(zip(days.tolist(), value.tolist(), strict=True)))
    return found


def systolic(users: int, seed: int) -> Readings:
    """Systolic pressure, mornings and some evenings; some begin to take a drug."""
    return _pressure(users, seed, mean=(123.4, 15.1), within=(8.6, 3.1), drug=12.0)


def diastolic(users: int, seed: int) -> Readings:
    """Diastolic pressure of the same kind."""
    return _pressure(users, seed, mean=(75.7, 9.0), within=(5.8, 2.0), drug=7.0)


def _pressure(
    users: int, seed: int, *, mean: tuple[float, float], within: tuple[float, float], drug: float
) -> Readings:
    random, found = np.random.default_rng(seed), []
    for _ in range(users):
        days = np.sort(random.uniform(0.0, 180.0, int(random.integers(30, 150))))
        days = np.floor(days) + random.choice([0.3, 0.8], days.size) + random.normal(0, 0.02)
        days = np.sort(days + random.uniform(0.0, 0.03, days.size))
        spread = max(0.4 * within[0], random.normal(*within))
        evening = (days % 1.0 > 0.55) * random.normal(-0.3, 0.3) * spread
        season = 0.4 * spread * np.cos(2.0 * np.pi * days / _YEAR)
        takes = random.random() < 0.2
        started = takes * drug * np.clip((days - random.uniform(40.0, 120.0)) / 14.0, 0.0, 1.0)
        level = random.normal(*mean) + evening + season - started
        value = level + 0.9 * spread * random.standard_t(6, days.size) / np.sqrt(1.5)
        other = random.random(days.size) < 0.01
        value = np.round(np.where(other, random.normal(*mean), value))
        found.append(list(zip(days.tolist(), value.tolist(), strict=True)))
    return found


def temperatures(users: int, seed: int) -> Readings:
    """Oral temperature at any waking hour, with fevers, and readings that were taken too early."""
    random, found = np.random.default_rng(seed), []
    for _ in range(users):
        days = np.cumsum(random.gamma(1.0, random.choice([0.4, 1.0, 3.0]), 80))
        days = np.floor(days) + random.uniform(0.28, 0.95, days.size)
        days = np.sort(days)
        rhythm = 0.25 * np.cos(2.0 * np.pi * (days - 0.72))
        fever = np.zeros(days.size)
        for start in np.cumsum(random.exponential(60.0, 3)):
            length, height = random.uniform(1.5, 5.0), random.uniform(1.0, 2.8)
            inside = (days >= start) & (days < start + length)
            rise = np.clip((days - start) / 0.4, 0.0, 1.0)
            fever = np.where(inside, height * rise, fever)
        value = random.normal(36.5, 0.3) + rhythm + fever + random.normal(0.0, 0.12, days.size)
        early = random.random(days.size) < 0.015
        value = np.round(np.where(early, value - random.uniform(0.7, 2.5), value), 1)
        found.append(list(zip(days.tolist(), value.tolist(), strict=True)))
    return found


#: The readings that a built-in profile was tried on.
SIMULATED: dict[str, Callable[[int, int], Readings]] = {
    "body-weight-child": children,
    "resting-heart-rate": heart_rates,
    "blood-pressure-systolic": systolic,
    "blood-pressure-diastolic": diastolic,
    "body-temperature": temperatures,
}
