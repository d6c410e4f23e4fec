"""Daily body weight by other rules than the model of kalmap, with known levels and faults.

The true weight is the sum of a base, a trend of straight pieces whose slopes follow a Laplace
distribution, and a fluctuation that returns to zero within days (water, food). None of these is
a Wiener process. A scale has a noise of 0.5 kg and shows tenths.

A wild reading is one of three, each as likely as the others: a weight in pounds noted as
kilograms, a typing slip (a wrong digit, or the decimal point one place off), or another person.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.trials.series import Series

DAYS = 70
NOISE = 0.5
JUMP = 8.0
_MORNING, _EVENING = 7.0 / 24.0, 19.0 / 24.0
_POUNDS = 2.2046226
#: Days of a cycle, and the day from which on noises are larger.
_CYCLE, _GROWS = 28.0, 40


class World(NamedTuple):
    """Simulated readings with their truth; arrays (users, readings)."""

    series: Series
    level: np.ndarray
    """True weight at the reading."""
    later: dict[int, np.ndarray]
    """True weight so many days after the reading."""
    wild: np.ndarray
    """Whether the reading is wrong."""
    jumped: np.ndarray
    """Whether the weight jumped between the reading before and this one."""
    noise: np.ndarray
    """Standard deviation of the reading when it is not wild."""
    rhythm: np.ndarray
    """What the time adds to the reading, and not to the true weight; its mean over time is 0."""


def clean(seed: int, users: int) -> World:
    return _world(seed, users)


def trend_alone(seed: int, users: int) -> World:
    """A trend without the fluctuation around it: nothing but noise hides the level."""
    return _world(seed, users, fluctuation=False)


def wild_3_percent(seed: int, users: int) -> World:
    return _world(seed, users, wild=0.03)


def wild_10_percent(seed: int, users: int) -> World:
    return _world(seed, users, wild=0.10)


def jumps(seed: int, users: int) -> World:
    return _world(seed, users, jump=JUMP)


def runs(seed: int, users: int) -> World:
    """Another person for two to four readings in a row."""
    return _world(seed, users, run=0.01)


def all_faults(seed: int, users: int) -> World:
    """Single wild readings, jumps and runs together; half of the runs are pounds left on."""
    return _world(seed, users, wild=0.03, jump=JUMP, run=0.01, pounds=0.5)


def diet(seed: int, users: int) -> World:
    """A steady loss of 0.15 kg a day."""
    return _world(seed, users, loss=0.15)


def noises_spread(seed: int, users: int) -> World:
    """Noises of users that spread lognormally, by 0.6."""
    return _world(seed, users, spread=0.6)


def users_2x_noisier(seed: int, users: int) -> World:
    """A noise twice the built-in profile's 0.35 kg."""
    return _world(seed, users, noise=0.70)


def scale_3x_noisier(seed: int, users: int) -> World:
    """A noise three times the built-in profile's 0.35 kg."""
    return _world(seed, users, noise=1.05)


def weekly_rhythm(seed: int, users: int) -> World:
    """Readings are 0.6 kg more on two days of the week."""
    return _world(seed, users, week=0.6)


def daily_rhythm(seed: int, users: int) -> World:
    """Readings are 0.8 kg less in the morning and 0.8 kg more in the evening."""
    return _world(seed, users, day=0.8)


def noise_grows(seed: int, users: int) -> World:
    """A noise of 0.2 kg that becomes 1 kg on day 40: another scale, or another way to weigh."""
    return _world(seed, users, noise=0.2, grown=1.0)


def cycles(seed: int, users: int) -> World:
    """The true weight goes up and down by 1 kg within 28 days."""
    return _world(seed, users, cycle=1.0)


WORLDS: dict[str, Callable[[int, int], World]] = {
    "clean": clean,
    "3 % wild": wild_3_percent,
    "10 % wild": wild_10_percent,
    "jump of 8 kg": jumps,
    "runs of 2-4": runs,
    "all faults": all_faults,
    "diet": diet,
    "noises spread": noises_spread,
    "users 2x noisier": users_2x_noisier,
    "scale 3x noisier": scale_3x_noisier,
    "weekly rhythm": weekly_rhythm,
    "daily rhythm": daily_rhythm,
    "noise grows": noise_grows,
    "cycles of 28 days": cycles,
}
#: Worlds whose good readings are like those of the clean one.
FAULTY = ("clean", "3 % wild", "10 % wild", "jump of 8 kg", "runs of 2-4", "all faults")
AHEAD = (1, 7, 30)


def _world(
    seed: int,
    users: int,
    *,
    wild: float = 0.0,
    run: float = 0.0,
    pounds: float = 0.0,
    jump: float = 0.0,
    loss: float | None = None,
    noise: float = NOISE,
    spread: float = 0.0,
    week: float = 0.0,
    day: float = 0.0,
    cycle: float = 0.0,
    grown: float | None = None,
    fluctuation: bool = True,
) -> World:
    random = np.random.default_rng(seed)
    days = DAYS + max(AHEAD)
    base = 75.0 * np.exp(0.2 * random.standard_normal((users, 1)))
    slope = np.repeat(random.laplace(0.0, 0.02, (users, days // 20 + 2)), 20, axis=1)
    phase = random.integers(0, 20)
    slope = slope[:, phase : phase + days]
    if loss is not None:
        slope = np.full_like(slope, -loss)
    level = base + np.cumsum(slope, axis=1)
    if fluctuation:
        level += _fluctuation(random, users, days)
    if cycle:
        start = random.uniform(0.0, _CYCLE, (users, 1))
        level += cycle * np.sin(2.0 * np.pi * (np.arange(days) + start) / _CYCLE)
    jumped = np.zeros((users, days), np.bool_)
    if jump:
        jumped[np.arange(users), random.integers(10, DAYS - 10, users)] = True
        level += np.cumsum(jumped, axis=1) * jump * random.choice((-1.0, 1.0), (users, 1))
    deviation = noise * np.exp(spread * random.standard_normal((users, 1)))
    now = level[:, :DAYS]
    if grown is not None:
        deviation = np.where(np.arange(DAYS) < _GROWS, deviation, grown)
    rhythm = np.broadcast_to(week * ((np.arange(DAYS) % 7 < 2) - 2.0 / 7.0), now.shape)
    hours = np.zeros(now.shape)
    if day:
        evening = random.random(now.shape) < 0.5
        hours = np.where(evening, _EVENING, _MORNING)
        rhythm = rhythm + np.where(evening, day, -day)
    value = np.round(now + rhythm + deviation * random.standard_normal(now.shape), 1)
    faulty = random.random(now.shape) < wild
    value = np.where(faulty, _wild(random, value), value)
    begin = random.random(now.shape) < run
    value, in_run = _with_runs(random, value, begin, pounds)
    return World(
        Series(np.arange(DAYS, dtype=float) + hours, value),
        now,
        {ahead: level[:, ahead : ahead + DAYS] for ahead in AHEAD},
        faulty | in_run,
        jumped[:, :DAYS],
        np.broadcast_to(deviation, now.shape),
        rhythm,
    )


def _fluctuation(random: np.random.Generator, users: int, days: int) -> np.ndarray:
    """An autoregression of standard deviation 0.2 kg and correlation 0.7 from day to day."""
    drawn = 0.2 * random.standard_normal((days, users))
    for day in range(1, days):
        drawn[day] = 0.7 * drawn[day - 1] + np.sqrt(1.0 - 0.49) * drawn[day]
    return drawn.T


def _wild(random: np.random.Generator, value: np.ndarray) -> np.ndarray:
    """What stands in place of each value if that reading is wild."""
    kind = random.integers(0, 3, value.shape)
    other = np.round(_other_people(random, value.shape), 1)
    # One digit of the tens or of the ones is another one, or the point is misplaced.
    place = random.choice((1.0, 10.0), value.shape)
    digit = np.floor(value / place) % 10.0
    wrong = (digit + random.integers(1, 10, value.shape)) % 10.0
    slip = np.where(
        random.random(value.shape) < 0.5,
        value + place * (wrong - digit),
        value * random.choice((0.1, 10.0), value.shape),
    )
    return np.select([kind == 0, kind == 1], [np.round(value * _POUNDS, 1), slip], other)


def _other_people(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 75.0 * np.exp(0.2 * random.standard_normal(shape))


def _with_runs(
    random: np.random.Generator, value: np.ndarray, begin: np.ndarray, pounds: float
) -> tuple[np.ndarray, np.ndarray]:
    """Wild readings in a row where a run begins, and which readings these are."""
    value, in_run = value.copy(), np.zeros(value.shape, np.bool_)
    for user, first in np.argwhere(begin):
        if in_run[user, first]:
            continue
        run = np.s_[user, first : first + random.integers(2, 5)]
        if random.random() < pounds:
            value[run] = np.round(value[run] * _POUNDS, 1)
        else:
            person = _other_people(random, (1,))
            noise = NOISE * random.standard_normal(value[run].shape)
            value[run] = np.round(person + noise, 1)
        in_run[run] = True
    return value, in_run
