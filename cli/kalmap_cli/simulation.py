"""Simulate realistic body-weight readings whose true levels and faults are known.

A user's true weight has a trend that changes every month, and a random walk around it. Each source
of readings has its own noise. Most users weigh themselves in the morning, some in pounds, with
pauses of days or weeks. Some readings have faults.

All figures are plausible choices. They are not fitted to data.
"""

import json
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from kalmap.moments import DAY, SECOND
from kalmap.readings import F64, I32, I64, U8, Bool

#: The end of every simulated period, 2026-01-01 in local time, µs since 1970. It is in the past and
#: constant, so the same seed gives the same readings on any day.
PERIOD_END = 1_767_225_600_000_000

_KG_PER_LB = 0.45359237
_USERS_PER_BLOCK = 1_000
#: Length of one straight piece of a user's trend, days.
_TREND_DAYS = 30


class Fault(IntEnum):
    """What is wrong with a reading."""

    NONE = 0
    OUTLIER = 1
    """Another person or luggage on the scale: 4 to 25 kg off."""
    UNIT_MISTAKE = 2
    """A value in pounds that is recorded as kilograms."""
    SLIP = 3
    """The decimal point is one digit off."""
    DUPLICATE = 4
    """Sent a second time, the same in every field."""

    @property
    def label(self) -> str | None:
        """The name in the truth file; None for NONE."""
        return self.name.lower() if self else None


class Source(NamedTuple):
    """A source of readings."""

    name: str
    share: float
    """Of all readings."""
    noise: float
    """Standard deviation, kg."""
    step: float
    """Readings are rounded to multiples of this, kg."""
    has_ids: bool


#: No profile has the source wearable, so the readings also have an unknown source.
SOURCES = (
    Source("scale", 0.62, 0.35, 0.05, True),
    Source("app", 0.13, 0.5, 0.1, True),
    Source("manual", 0.15, 0.7, 0.5, False),
    Source("wearable", 0.08, 0.9, 0.1, True),
    Source("clinic", 0.02, 0.2, 0.1, False),
)


class Rates(NamedTuple):
    """How often events happen, as shares of the readings or of the users."""

    readings_per_day: float = 0.35
    outliers: float = 0.01
    unit_mistakes: float = 0.004
    slips: float = 0.001
    duplicates: float = 0.01
    late: float = 0.02
    """Readings that arrive hours to days after later ones of the same user."""
    pound_users: float = 0.15
    """Users whose readings are in pounds, with the correct unit."""
    pausing_users: float = 0.4
    """Users with a pause of 3 to 30 days."""


DEFAULT_RATES = Rates()


class SimulatedReadings(NamedTuple):
    """Readings in order of their arrival; every array has shape (readings,)."""

    user: I32
    """Number of the user, from 0."""
    time: I64
    """Time of the reading, µs since 1970 UTC."""
    arrival: I64
    """Time when it was sent, µs since 1970 UTC."""
    value: F64
    """The recorded value, in the recorded unit."""
    pounds: Bool
    """Whether the recorded unit is the pound; else it is the kilogram."""
    source: U8
    """Position in SOURCES."""
    number: I64
    """Identifies a user's readings. A duplicate has the number of its original."""
    level: F64
    """The true weight at that time, kg."""
    fault: U8
    """A Fault."""
    offset: I32
    """The user's offset from UTC, minutes."""

    @property
    def late(self) -> Bool:
        """Readings that arrived more than six hours after their time, shape (readings,)."""
        return self.arrival - self.time > DAY // 4


def simulate(
    users: int, days: int, seed: int, *, rates: Rates = DEFAULT_RATES
) -> Iterator[SimulatedReadings]:
    """Simulate users' readings over the days before PERIOD_END.

    The same arguments give the same readings, and a user's readings do not depend on the number of
    users.

    Args:
        users: Number of users, at least 1.
        days: Length of the period in days, at least 1.
        seed: Any integer from 0.
        rates: How often events happen.

    Yields:
        The readings of up to a thousand users, in order of arrival.
    """
    for block, first in enumerate(range(0, users, _USERS_PER_BLOCK)):
        random = np.random.default_rng([seed, block])
        simulated = _simulate_block(random, first, days, rates)
        count = min(_USERS_PER_BLOCK, users - first)
        if count < _USERS_PER_BLOCK:
            selected = simulated.user < first + count
            simulated = SimulatedReadings._make(column[selected] for column in simulated)
        yield simulated


def _simulate_block(
    random: np.random.Generator, first: int, days: int, rates: Rates
) -> SimulatedReadings:
    n = _USERS_PER_BLOCK
    level = _true_levels(random, n, days)
    # Users differ a lot in how often they weigh themselves.
    rate = rates.readings_per_day * random.lognormal(-0.32, 0.8, n)
    user = np.repeat(np.arange(n), random.poisson(rate * days))
    time = _times(random, user, n, days)
    outside = _outside_pauses(random, user, time, days, rates)
    user, time = user[outside], time[outside]
    count = len(user)

    truth = _level_at(level, user, time)
    source = random.choice(len(SOURCES), count, p=[s.share for s in SOURCES])
    noise = np.array([s.noise for s in SOURCES])[source]
    step = np.array([s.step for s in SOURCES])[source]
    value = truth + noise * random.standard_normal(count)
    fault = _faults(random, count, rates)
    off = random.uniform(4.0, 25.0, count) * random.choice((-1.0, 1.0), count)
    value = np.where(fault == Fault.OUTLIER, np.maximum(value + off, 3.0), value)
    pounds = (random.random(n) < rates.pound_users)[user]
    # The display rounds, in the unit that it shows.
    value = np.round(value / step) * step
    value = np.where(pounds, np.round(value / _KG_PER_LB, 1), np.round(value, 2))
    slipped = random.choice((0.1, 10.0), count)
    value = np.where(fault == Fault.SLIP, np.round(value * slipped, 3), value)
    mistaken = fault == Fault.UNIT_MISTAKE
    in_pounds = np.where(pounds, value, np.round(value / _KG_PER_LB, 1))
    value = np.where(mistaken, in_pounds, value)
    pounds &= ~mistaken

    offset = random.choice((-480, -300, 0, 60, 120, 330), n)[user]
    local = PERIOD_END - days * DAY + (time * DAY).astype(np.int64) // SECOND * SECOND
    taken = local - offset * (60 * SECOND)
    delay = np.where(
        random.random(count) < rates.late,
        random.exponential(1.5, count) + 0.25,
        random.exponential(0.002, count),
    )
    arrival = taken + (delay * DAY).astype(np.int64)
    repeated = np.flatnonzero(random.random(count) < rates.duplicates)
    delay_again = (random.exponential(0.5, len(repeated)) * DAY).astype(np.int64)
    original = np.concatenate([np.arange(count), repeated])
    fault = np.concatenate([fault, np.full(len(repeated), Fault.DUPLICATE)])
    arrival = np.concatenate([arrival, arrival[repeated] + delay_again])
    order = np.argsort(arrival, kind="stable")
    original = original[order]
    return SimulatedReadings(
        user=(first + user[original]).astype(np.int32),
        time=taken[original],
        arrival=arrival[order],
        value=value[original],
        pounds=pounds[original],
        source=source[original].astype(np.uint8),
        number=original.astype(np.int64),
        level=truth[original],
        fault=fault[order].astype(np.uint8),
        offset=offset[original].astype(np.int32),
    )


def _true_levels(random: np.random.Generator, n: int, days: int) -> F64:
    """The true weight at the beginning of each day, kg, shape (n, days + 1)."""
    base = np.clip(random.normal(78.0, 15.0, (n, 1)), 45.0, 150.0)
    pieces = days // _TREND_DAYS + 1
    slope = np.repeat(random.normal(0.0, 0.02, (n, pieces)), _TREND_DAYS, axis=1)[:, :days]
    walk = np.cumsum(slope + random.normal(0.0, 0.08, (n, days)), axis=1)
    level: F64 = np.maximum(np.hstack([base, base + walk]), 35.0)
    return level


def _level_at(level: F64, user: I64, time: F64) -> F64:
    """The true weight at a time within a day, by linear interpolation."""
    day = np.minimum(time.astype(np.int64), level.shape[1] - 2)
    before, after = level[user, day], level[user, day + 1]
    interpolated: F64 = before + (after - before) * (time - day)
    return interpolated


def _times(random: np.random.Generator, user: I64, n: int, days: int) -> F64:
    """Local times of readings, mostly mornings, in days from the start, shape (readings,)."""
    count = len(user)
    habit = random.normal(7.0, 0.8, n)[user]
    hour = np.where(
        random.random(count) < 0.8, habit + random.normal(0.0, 0.7, count),
        random.uniform(6.0, 23.0, count),
    )  # fmt: skip
    return random.integers(0, days, count) + np.clip(hour, 0.0, 23.99) / 24.0


def _outside_pauses(
    random: np.random.Generator, user: I64, time: F64, days: int, rates: Rates
) -> Bool:
    n = _USERS_PER_BLOCK
    begin = random.uniform(0.0, days, n)
    length = random.uniform(3.0, 30.0, n) * (random.random(n) < rates.pausing_users)
    outside: Bool = (time < begin[user]) | (time > (begin + length)[user])
    return outside


def _faults(random: np.random.Generator, count: int, rates: Rates) -> I64:
    uniform = random.random(count)
    edges = np.cumsum([rates.outliers, rates.unit_mistakes, rates.slips])
    kinds = np.array([Fault.OUTLIER, Fault.UNIT_MISTAKE, Fault.SLIP, Fault.NONE])
    faults: I64 = kinds[np.searchsorted(edges, uniform, side="right")]
    return faults


def jsonl_lines(simulated: SimulatedReadings) -> Iterator[str]:
    """The readings as JSONL lines, as README.md describes them."""
    for user, time, value, unit, source, id_ in _fields(simulated):
        measurement = f', "measurement_id": "{id_}"' if id_ else ""
        yield (
            f'{{"user_id": "{user}", "timestamp": "{time}", "value": {value!r}, '
            f'"unit": "{unit}", "source": "{source}"{measurement}}}\n'
        )


def csv_lines(simulated: SimulatedReadings) -> Iterator[str]:
    """The readings as CSV lines, without the header."""
    for user, time, value, unit, source, id_ in _fields(simulated):
        yield f"{user},{time},{value!r},{unit},{source},{id_}\n"


def truth_lines(simulated: SimulatedReadings, index: int) -> Iterator[str]:
    """True levels and faults as JSONL lines in the readings' order; the first has `index`."""
    late = simulated.late.tolist()
    for position, (user, time, _, _, _, _) in enumerate(_fields(simulated)):
        yield json.dumps({
            "index": index + position,
            "user_id": user,
            "timestamp": time,
            "level": round(float(simulated.level[position]), 4),
            "fault": Fault(simulated.fault[position]).label,
            "late": late[position],
        }) + "\n"  # fmt: skip


def _fields(simulated: SimulatedReadings) -> Iterator[tuple[str, str, float, str, str, str]]:
    local = simulated.time // SECOND + simulated.offset.astype(np.int64) * 60
    for user, clock, offset, value, pounds, source, number in zip(
        simulated.user.tolist(),
        np.datetime_as_string(local.astype("datetime64[s]")).tolist(),
        simulated.offset.tolist(),
        simulated.value.tolist(),
        simulated.pounds.tolist(),
        simulated.source.tolist(),
        simulated.number.tolist(),
        strict=True,
    ):
        sign = "-" if offset < 0 else "+"
        zone = f"{sign}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"
        name, has_ids = SOURCES[source].name, SOURCES[source].has_ids
        id_ = f"m-{user}-{number}" if has_ids else ""
        yield f"u-{user:06d}", clock + zone, value, "lb" if pounds else "kg", name, id_
