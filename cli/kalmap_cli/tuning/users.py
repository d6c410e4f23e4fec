"""Users' readings as `kalmap tune` needs them: their histories, samples, and what is typical."""

from math import sqrt
from typing import NamedTuple

import numpy as np

from kalmap.filter.model import MICROSECONDS_PER_DAY
from kalmap.filter.packed import Histories
from kalmap.readings import F64, I64, U8, Bool

#: A normal distribution's standard deviation over its median absolute deviation.
MAD = 1.4826
#: Steps of rounded readings, over a power of ten.
_STEPS = (5.0, 2.5, 2.0, 1.0)
#: Readings are rounded to a step if this share of them are its multiples.
_ROUNDED = 0.95


class Users(NamedTuple):
    """Readings, user after user, in order of time."""

    counts: I64
    """(users,) Readings of each, at least 1."""
    time: I64
    """(readings,) Microseconds since 1970 UTC."""
    value: F64
    source: U8

    @property
    def owner(self) -> I64:
        """(readings,) Number of each reading's user."""
        return np.repeat(np.arange(self.counts.size), self.counts)

    @property
    def begin(self) -> Bool:
        """(readings,) Whether each is its user's first."""
        begin = np.zeros(self.value.size, np.bool_)
        begin[np.cumsum(self.counts) - self.counts] = True
        return begin

    @property
    def histories(self) -> Histories:
        """What the filter takes."""
        gap = np.diff(self.time, prepend=self.time[:1]) / MICROSECONDS_PER_DAY
        gap[self.begin] = 0.0
        return Histories(self.counts, gap, self.value, self.source)

    def of(self, chosen: I64) -> "Users":
        """The readings of these users, whose numbers rise."""
        is_chosen = np.zeros(self.counts.size, np.bool_)
        is_chosen[chosen] = True
        return self.where(is_chosen[self.owner])

    def where(self, keep: Bool) -> "Users":
        """These readings only; users without any are left out."""
        counts = np.bincount(self.owner[keep], minlength=self.counts.size)
        return Users(counts[counts > 0], self.time[keep], self.value[keep], self.source[keep])

    def sample(self, most: int) -> "Users":
        """All readings of as many users as have `most` together; the same ones every time.

        Where the first of them alone has more, their first ones.
        """
        if self.value.size <= most:
            return self
        order = np.random.default_rng(0).permutation(self.counts.size)
        chosen = order[np.cumsum(self.counts[order]) <= most]
        if chosen.size:
            return self.of(np.sort(chosen))
        few = self.of(order[:1])
        return Users(np.array([most]), few.time[:most], few.value[:most], few.source[:most])

    def beginnings(self, steps: int) -> "Users":
        """The first readings of each user, so many at most."""
        number = np.arange(self.value.size) - np.repeat(
            np.cumsum(self.counts) - self.counts, self.counts
        )
        return self.where(number < steps)

    def one_an_occasion(self, days: float) -> "Users":
        """The first reading of each occasion: of readings closer than so many days."""
        gap, begin = self.histories.gap, self.begin
        starts = begin | (gap >= days)
        at = np.flatnonzero(starts)
        counts = np.diff(np.append(at, gap.size))
        since = (self.time - np.repeat(self.time[at], counts)) / MICROSECONDS_PER_DAY
        # Of a long row of close readings one is kept each time that an occasion has passed.
        part = np.floor(since / days) if days > 0.0 else since
        return self.where(starts | (np.diff(part, prepend=-1.0) > 0.0))

    def split(self, share: float) -> tuple["Users", "Users"]:
        """A share of the users, and the others; the same ones every time."""
        order = np.random.default_rng(1).permutation(self.counts.size)
        cut = round(share * order.size)
        return self.of(np.sort(order[:cut])), self.of(np.sort(order[cut:]))


class Typical(NamedTuple):
    """What is typical of readings, by medians, which a few wild ones hardly move."""

    gap: float
    """Days between a user's readings."""
    spacing: float
    """The same as the mean of each user, which readings close together hardly change."""
    change: float
    """Standard deviation of the difference of two readings, as one reading's."""
    bend: float
    """The same from second differences, which a steady slope leaves at zero."""
    pace: float
    """Change per day."""
    pace_sd: float
    """Standard deviation of users' changes per day, each over all of their readings."""
    first: float
    first_sd: float
    step: float
    """Readings are multiples of it; 0 if they are not rounded."""

    @property
    def floor(self) -> float:
        """Standard deviation of the error of rounding."""
        return self.step / sqrt(12.0)


def typical_of(users: Users) -> Typical:
    """What is typical of these readings, of which one user has two at least."""
    gap, begin = users.histories.gap, users.begin
    inside = ~begin & (gap > 0.0)
    if not inside.any():
        inside = ~begin
    gaps = gap[inside]
    change = np.diff(users.value, prepend=users.value[:1])
    step = step_of(users.value)
    near = inside & (gap <= np.quantile(gaps, 0.5))
    second = inside.copy()
    second[1:] &= inside[:-1]
    bent = change - np.concatenate((change[:1], change[:-1])) * _ratio(gap)
    spread = float(np.std(users.value))
    least = max(step / 12.0**0.5, 1e-6 * spread, 1e-9)
    starts = np.flatnonzero(begin)
    ends = starts + users.counts - 1
    days = (users.time[ends] - users.time[starts]) / MICROSECONDS_PER_DAY
    paces = (users.value[ends] - users.value[starts])[days > 0.0] / days[days > 0.0]
    first = users.value[begin]
    typical_gap = max(float(np.median(gaps)), 1e-6)
    changes = max(_deviation(change[near]) / 2.0**0.5, least)
    spacing = days[days > 0.0] / (users.counts - 1)[days > 0.0]
    return Typical(
        typical_gap,
        float(np.median(spacing)) if spacing.size else typical_gap,
        changes,
        max(_deviation(bent[second]) / 6.0**0.5, least) if second.any() else changes,
        float(np.median(change[inside] / np.maximum(gaps, 1e-6))),
        max(_deviation(paces - np.median(paces)), 1e-3 * changes / typical_gap)
        if paces.size
        else changes / typical_gap,
        float(np.median(first)),
        max(_deviation(first - np.median(first)), changes),
        step,
    )


def _ratio(gap: F64) -> F64:
    """Each gap over the one before."""
    before = np.concatenate((gap[:1], gap[:-1]))
    ratio: F64 = gap / np.where(before > 0.0, before, 1.0)
    return np.minimum(ratio, 10.0)


def _deviation(values: F64) -> float:
    return MAD * float(np.median(np.abs(values))) if values.size else 0.0


def step_of(values: F64) -> float:
    """The step to which readings are rounded, 0.1 or 5 for example; 0 if they are not."""
    if np.ptp(values) == 0.0:
        return 0.0
    largest = np.log10(np.ptp(values))
    for power in range(int(np.ceil(largest)), int(np.floor(largest)) - 5, -1):
        for part in _STEPS:
            step = float(f"{part}e{power}")
            multiples = values / step
            off = np.abs(multiples - np.rint(multiples)) > 1e-6 * np.maximum(np.abs(multiples), 1.0)
            if off.mean() <= 1.0 - _ROUNDED:
                return step
    return 0.0
