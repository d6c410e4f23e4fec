"""What a profile does, asked of the filter itself: a made-up user's readings are folded."""

from typing import NamedTuple

import numpy as np

from kalmap.filter.estimates import predict
from kalmap.filter.fold import Folded, fold_users
from kalmap.filter.model import MICROSECONDS_PER_DAY, transition
from kalmap.filter.parameters import parameters_of
from kalmap.outcome import Status
from kalmap.profile import Profile
from kalmap.readings import F64, I64, UNKNOWN_SOURCE, Readings

#: Times that are looked at, in days: five minutes to a year.
_TIMES = (1.0 / 288.0, 1.0 / 96.0, 1.0 / 24.0, 0.25, 1.0, 7.0, 30.0, 365.0)
#: The made-up user's readings before the questions.
HISTORY = 12
#: And at most at a new level.
AGAIN = 10
_GRID = 200
_LONGEST = 50 * 365.0
_95 = 1.96
#: A gap has made a user forgotten when the level is known this much less well than a new user's.
_FORGOTTEN = 0.9
_BEGIN = 20_000.0


class AfterGap(NamedTuple):
    """What holds after a time without readings; numbers in the profile's unit."""

    days: float
    level: float
    """Half of the 95 % interval of the level."""
    believed: float | None
    """A reading that differs from the expected one by up to this much is believed; None: all in the
    range are."""


class Effects(NamedTuple):
    """What a profile does."""

    level: float
    """Of the made-up user."""
    source: str | None
    every: float
    """Days between the made-up user's readings."""
    gaps: list[AfterGap]
    jump: float
    """A new level that is this far away."""
    jump_readings: int | None
    """Readings there until one is believed; None if that takes more than AGAIN."""
    forgets: float | None
    """Days after which the user is no better known than a new one; None if it takes 50 years."""
    first: tuple[float, float] | None
    """Values of a new user's first reading that are believed; None: all in the range are."""


def effects_of(profile: Profile) -> Effects:
    """Ask the filter what a profile does."""
    user = _User(profile)
    gaps = [days for days in _TIMES if days >= user.every]
    believed = dict(zip(gaps, user.believed(gaps), strict=True))
    spread = parameters_of(profile).jump_variance ** 0.5
    low, high = profile.range
    jump = max(1.5 * spread, 1.2 * (believed[gaps[0]] or 0.0))
    jump = min(jump, 0.45 * (high - low))
    return Effects(
        user.level,
        user.source,
        user.every,
        [AfterGap(days, user.half_width(days), believed[days]) for days in gaps],
        jump,
        user.readings_until_believed(jump),
        user.forgotten_after(),
        _first(profile),
    )


class _User:
    """A made-up user whose level stands still, and whose readings scatter as the profile says."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        low, high = profile.range
        mean = profile.population.level_mean
        self.level = mean if mean is not None and low < mean < high else (low + high) / 2.0
        self.source = min(
            profile.sources, key=lambda name: abs(profile.sources[name] - 1.0), default=None
        )
        noise = profile.measurement_noise
        if self.source is not None:
            noise *= profile.sources[self.source]
        self.every = _spacing(profile, noise)
        sign = np.where(np.arange(HISTORY) % 2, 1.0, -1.0)
        self.values = np.clip(self.level + noise * sign, low, high)
        self.times: F64 = _BEGIN + self.every * np.arange(HISTORY, dtype=np.float64)
        [body] = self._fold(self.values[None, :], self.times[None, :]).bodies
        assert body is not None
        self.body = body

    def _fold(self, values: F64, days: F64) -> Folded:
        """Fold rows of values, each of a user of its own, at days of the same shape."""
        users, count = values.shape
        order = np.arange(values.size)
        return fold_users(
            self.profile,
            [None] * users,
            Readings(
                np.repeat(np.arange(users), count).astype(np.int32),
                _microseconds(days.ravel()),
                values.ravel(),
                np.full(values.size, self.profile.source_code(self.source), np.uint8),
                np.zeros(values.size, np.uint8),
                order.astype(np.uint64),
                order,
            ),
            int(_microseconds(days.max() + np.ones(1))[0]),
        )

    def believed(self, gaps: list[float]) -> list[float | None]:
        """How far from the expected one a reading after each gap may be."""
        low, high = self.profile.range
        away, asked = np.empty((2, len(gaps), _GRID))
        for row, gap in enumerate(gaps):
            expected = predict(self.profile, self.body, self._at(gap))[0]
            up = high - expected >= expected - low
            most = high - expected if up else expected - low
            away[row] = np.geomspace(1e-4 * most, 0.999 * most, _GRID)
            asked[row] = np.clip(expected + (away[row] if up else -away[row]), low, high)
        values = np.tile(self.values, (asked.size, 1))
        days = np.tile(self.times, (asked.size, 1))
        last = self.times[-1] + np.repeat(np.array(gaps), _GRID)
        folded = self._fold(np.column_stack([values, asked.ravel()]), np.column_stack([days, last]))
        status = folded.decisions.status.reshape(len(gaps), _GRID, HISTORY + 1)[:, :, -1]
        refused = status != Status.ACCEPTED
        return [
            float(away[row, np.argmax(refused[row])])
            if refused[row].any() and away[row, np.argmax(refused[row])] <= high - low
            else None
            for row in range(len(gaps))
        ]

    def half_width(self, gap: float) -> float:
        """Half of the level's 95 % interval after a gap."""
        return _95 * predict(self.profile, self.body, self._at(gap))[1]

    def readings_until_believed(self, jump: float) -> int | None:
        """How many readings at a new level it takes until one is believed."""
        low, high = self.profile.range
        at = self.level + jump if self.level + jump < high else self.level - jump
        if not low <= at <= high:
            return None
        noise = np.abs(self.values - self.level)[0]
        sign = np.where(np.arange(AGAIN) % 2, 1.0, -1.0)
        values = np.append(self.values, np.clip(at + 0.5 * noise * sign, low, high))
        days = np.append(self.times, self.times[-1] + self.every * np.arange(1, AGAIN + 1))
        status = self._fold(values[None, :], days[None, :]).decisions.status[HISTORY:]
        accepted = np.flatnonzero(status == Status.ACCEPTED)
        return int(accepted[0]) + 1 if accepted.size else None

    def forgotten_after(self) -> float | None:
        """After how many days without readings the level is known as badly as a new user's."""
        low, high = self.profile.range
        known = self.profile.population.level_sd
        new = known if known is not None else (high - low) / 4.0
        for days in np.geomspace(self.every, _LONGEST, 200).tolist():
            if self.half_width(days) >= _FORGOTTEN * _95 * new:
                return float(days)
        return None

    def _at(self, gap: float) -> int:
        return int(_microseconds(np.array([self.times[-1] + gap]))[0])


def _first(profile: Profile) -> tuple[float, float] | None:
    """The first readings that are believed of a new user."""
    low, high = profile.range
    values = np.linspace(low, high, _GRID)
    order = np.arange(_GRID)
    folded = fold_users(
        profile,
        [None] * _GRID,
        Readings(
            order.astype(np.int32), np.full(_GRID, int(_BEGIN * MICROSECONDS_PER_DAY)), values,
            np.full(_GRID, UNKNOWN_SOURCE, np.uint8), np.zeros(_GRID, np.uint8),
            order.astype(np.uint64), order,
        ),
        int((_BEGIN + 1.0) * MICROSECONDS_PER_DAY),
    )  # fmt: skip
    believed = values[folded.decisions.status == Status.ACCEPTED]
    if believed.size == _GRID or not believed.size:
        return None
    return float(believed[0]), float(believed[-1])


def _spacing(profile: Profile, noise: float) -> float:
    """Days between readings for which a profile may be made.

    A user's readings are closer than the time in which the level moves by their noise, and than
    those that a full window has.
    """
    closest = profile.window.days / profile.window.readings
    for days in _TIMES[::-1]:
        step = transition(profile, np.array([days]))
        moves = float(np.sqrt(step.q00[0] + (step.gain[0] * profile.slope_prior) ** 2))
        if days <= closest and moves <= 2.0 * noise:
            return days
    return _TIMES[0]


def _microseconds(days: F64) -> I64:
    found: I64 = np.round(days * MICROSECONDS_PER_DAY).astype(np.int64)
    return found
