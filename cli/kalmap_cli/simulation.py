"""Realistic body-weight readings whose truth and faults are known.

A user's true weight wanders: a trend that changes every month or so, and a random walk
around it. What the readings make of it depends on how they were taken: each source has a
noise of its own, most people weigh themselves in the morning, some in pounds, with pauses of
days or weeks. On top come the faults that a filter has to live with.

Figures are plausible magnitudes, chosen; they are fitted to no data set.
"""

import json
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from kalmap.readings import F64, I32, I64, U8, Bool

#: Every simulated period ends here, 2026-01-01 in local time, µs since 1970: nothing lies in
#: the future, and the same seed means the same readings on any day.
PERIOD_END = 1_767_225_600_000_000

_DAY = 86_400_000_000
_KG_PER_LB = 0.45359237
_USERS_PER_BLOCK = 1_000
#: Length of one straight piece of a user's trend, days.
_TREND_DAYS = 30


class Fault(IntEnum):
    """What is wrong with a reading."""

    NONE = 0
    OUTLIER = 1
    """Someone else on the scale, or clothes and bags: 4 to 25 kg off."""
    UNIT_MISTAKE = 2
    """A value in pounds noted as kilograms."""
    SLIP = 3
    """The decimal point is one place off."""
    DUPLICATE = 4
    """Sent a second time, the same in every field."""

    @property
    def label(self) -> str | None:
        """The name in the truth file; None for NONE."""
        return self.name.lower() if self else None


class Source(NamedTuple):
    """How readings of a kind are taken."""

    name: str
    share: float
    """Of all readings."""
    noise: float
    """Standard deviation, kg."""
    step: float
    """Readings are rounded to multiples of this, kg."""
    has_ids: bool


#: Wearable is in no profile: an unknown source has to be coped with too.
SOURCES = (
    Source("scale", 0.62, 0.35, 0.05, True),
    Source("app", 0.13, 0.5, 0.1, True),
    Source("manual", 0.15, 0.7, 0.5, False),
    Source("wearable", 0.08, 0.9, 0.1, True),
    Source("clinic", 0.02, 0.2, 0.1, False),
)


class Rates(NamedTuple):
    """How often things happen, as shares of the readings or of the users."""

    readings_per_day: float = 0.35
    outliers: float = 0.01
    unit_mistakes: float = 0.004
    slips: float = 0.001
    duplicates: float = 0.01
    late: float = 0.02
    """Readings that arrive hours to days after later ones of the same user."""
    pound_users: float = 0.15
    """Users whose readings are in pounds, and say so."""
    pausing_users: float = 0.4
    """Users with a pause of 3 to 30 days."""


DEFAULT_RATES = Rates()


class SimulatedReadings(NamedTuple):
    """Readings in order of their arrival; every array has shape (readings,)."""

    user: I32
    """Number of the user, from 0."""
    time: I64
    """When it was taken, µs since 1970 UTC."""
    arrival: I64
    """When it was sent, µs since 1970 UTC."""
    value: F64
    """As noted, in `pounds` or kilograms."""
    pounds: Bool
    """The unit noted with it is the pound."""
    source: U8
    """Position in SOURCES."""
    number: I64
    """Distinguishes a user's readings; a duplicate has its original's."""
    level: F64
    """The true weight at that time, kg."""
    fault: U8
    """A Fault."""
    offset: I32
    """The user's offset from UTC, minutes."""

    @property
    def late(self) -> Bool:
        """Readings that arrived after a later one could have, shape (readings,)."""
        return self.arrival - self.time > _DAY // 4


def simulate(
    users: int, days: int, seed: int, *, rates: Rates = DEFAULT_RATES
) -> Iterator[SimulatedReadings]:
    """Simulate users' readings over the days before END, some thousand users at a time.

    The same arguments give the same readings, and users are independent of how many there
    are. Within a block readings are in order of arrival.

    Args:
        users: how many, at least 1.
        days: length of the period, at least 1.
        seed: any integer from 0.
        rates: how often things happen.
    """
    for block, first in enumerate(range(0, users, _USERS_PER_BLOCK)):
        random = np.random.default_rng([seed, block])
        simulated = _simulate_block(random, first, days, rates)
        count = min(_USERS_PER_BLOCK, users - first)
        if count < _USERS_PER_BLOCK:
            kept = simulated.user < first + count
            simulated = SimulatedReadings._make(column[kept] for column in simulated)
        yield simulated


def _simulate_block(
    random: np.random.Generator, first: int, days: int, rates: Rates
) -> SimulatedReadings:
    n = _USERS_PER_BLOCK
    level = _true_levels(random, n, days)
    # People differ a lot in how often they weigh themselves.
    rate = rates.readings_per_day * random.lognormal(-0.32, 0.8, n)
    user = np.repeat(np.arange(n), random.poisson(rate * days))
    time = _times(random, user, n, days)
    kept = _outside_pauses(random, user, time, days, rates)
    user, time = user[kept], time[kept]
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
    # Rounding happens on the display, in the unit it shows.
    value = np.round(value / step) * step
    value = np.where(pounds, np.round(value / _KG_PER_LB, 1), np.round(value, 2))
    slipped = random.choice((0.1, 10.0), count)
    value = np.where(fault == Fault.SLIP, np.round(value * slipped, 3), value)
    mistaken = fault == Fault.UNIT_MISTAKE
    noted = np.where(pounds, value, np.round(value / _KG_PER_LB, 1))
    value = np.where(mistaken, noted, value)
    pounds &= ~mistaken

    offset = random.choice((-480, -300, 0, 60, 120, 330), n)[user]
    local = PERIOD_END - days * _DAY + (time * _DAY).astype(np.int64) // 1_000_000 * 1_000_000
    taken = local - offset * 60_000_000
    delay = np.where(
        random.random(count) < rates.late,
        random.exponential(1.5, count) + 0.25,
        random.exponential(0.002, count),
    )
    arrival = taken + (delay * _DAY).astype(np.int64)
    again = np.flatnonzero(random.random(count) < rates.duplicates)
    arrival_again = arrival[again] + (random.exponential(0.5, len(again)) * _DAY).astype(np.int64)
    place = np.concatenate([np.arange(count), again])
    fault = np.concatenate([fault, np.full(len(again), Fault.DUPLICATE)])
    arrival = np.concatenate([arrival, arrival_again])
    order = np.argsort(arrival, kind="stable")
    place = place[order]
    return SimulatedReadings(
        user=(first + user[place]).astype(np.int32),
        time=taken[place],
        arrival=arrival[order],
        value=value[place],
        pounds=pounds[place],
        source=source[place].astype(np.uint8),
        number=place.astype(np.int64),
        level=truth[place],
        fault=fault[order].astype(np.uint8),
        offset=offset[place].astype(np.int32),
    )


def _true_levels(random: np.random.Generator, n: int, days: int) -> F64:
    """True weight at the beginning of each day, kg, shape (n, days + 1)."""
    base = np.clip(random.normal(78.0, 15.0, (n, 1)), 45.0, 150.0)
    pieces = days // _TREND_DAYS + 1
    slope = np.repeat(random.normal(0.0, 0.02, (n, pieces)), _TREND_DAYS, axis=1)[:, :days]
    walk = np.cumsum(slope + random.normal(0.0, 0.08, (n, days)), axis=1)
    level: F64 = np.maximum(np.hstack([base, base + walk]), 35.0)
    return level


def _level_at(level: F64, user: I64, time: F64) -> F64:
    """True weight between two beginnings of a day, by linear interpolation."""
    day = np.minimum(time.astype(np.int64), level.shape[1] - 2)
    before, after = level[user, day], level[user, day + 1]
    found: F64 = before + (after - before) * (time - day)
    return found


def _times(random: np.random.Generator, user: I64, n: int, days: int) -> F64:
    """Local times of readings, days from the start, shape (readings,): mostly mornings."""
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
    drawn = random.random(count)
    edges = np.cumsum([rates.outliers, rates.unit_mistakes, rates.slips])
    kinds = np.array([Fault.OUTLIER, Fault.UNIT_MISTAKE, Fault.SLIP, Fault.NONE])
    faults: I64 = kinds[np.searchsorted(edges, drawn, side="right")]
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
    """The truth as JSONL lines, in the readings' order, the first of which has `index`."""
    late = simulated.late.tolist()
    for place, (user, time, _, _, _, _) in enumerate(_fields(simulated)):
        yield json.dumps({
            "index": index + place,
            "user_id": user,
            "timestamp": time,
            "level": round(float(simulated.level[place]), 4),
            "fault": Fault(simulated.fault[place]).label,
            "late": late[place],
        }) + "\n"  # fmt: skip


def _fields(simulated: SimulatedReadings) -> Iterator[tuple[str, str, float, str, str, str]]:
    local = simulated.time // 1_000_000 + simulated.offset.astype(np.int64) * 60
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
        kind = SOURCES[source]
        id_ = f"m-{user}-{number}" if kind.has_ids else ""
        yield f"u-{user:06d}", clock + zone, value, "lb" if pounds else "kg", kind.name, id_
