"""The readings that faults, jumps and noises are fitted to: users' first ones, and later ones.

A fold takes time for each step, so long histories are cut into segments of a few readings. What
happens late, such as an instrument that wears out, is seen only in later ones. The filter takes
each segment for a new user's readings. Levels may have moved since users' first readings, so a
later segment begins with what is typical of later segments, and says nothing of the population.
"""

from typing import NamedTuple

import msgspec
import numpy as np

from kalmap.profile import Population, Profile
from kalmap.readings import F64, I64
from kalmap_cli.tuning.likelihood import foretell
from kalmap_cli.tuning.users import MAD, Users

#: Readings of a segment, and of all first and all later ones.
STEPS, _MOST = 20, 8_000
#: What is left of a history is a segment if it has this many readings.
_LEAST = 5


class Segments(NamedTuple):
    """Readings in a row."""

    first: Users
    """Of each user, from the first one on."""
    later: Users | None
    """Of some users, from a later one on; each segment is a user."""

    @property
    def size(self) -> int:
        """Readings."""
        return self.first.value.size + (0 if self.later is None else self.later.value.size)

    def log_likelihood(self, profile: Profile) -> float:
        """Mean of a reading that counts, in nats; NaN if none does."""
        found = [foretell(profile, self.first).log_density]
        if self.later is not None:
            found.append(foretell(_begun_later(profile, self.later), self.later).log_density)
        densities = np.concatenate(found)
        known = ~np.isnan(densities)
        return float(densities[known].mean()) if known.any() else float("nan")


def segments_of(users: Users) -> Segments:
    """The first readings of users, and later segments of any; the same ones every time."""
    first = users.beginnings(STEPS).sample(_MOST)
    number = np.arange(users.value.size) - np.repeat(
        np.cumsum(users.counts) - users.counts, users.counts
    )
    _, place, counts = np.unique(
        users.owner * (int(users.counts.max()) // STEPS + 1) + number // STEPS,
        return_index=True,
        return_counts=True,
    )
    is_later = (number[place] >= STEPS) & (counts >= _LEAST)
    chosen = np.flatnonzero(is_later)
    if not chosen.size:
        return Segments(first, None)
    chosen = np.random.default_rng(2).permutation(chosen)
    chosen = np.sort(chosen[np.cumsum(counts[chosen]) <= _MOST])
    return Segments(first, _cut(users, place[chosen], counts[chosen]))


def _cut(users: Users, start: I64, counts: I64) -> Users:
    rows = np.repeat(start - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    return Users(counts, users.time[rows], users.value[rows], users.source[rows])


def _begun_later(profile: Profile, later: Users) -> Profile:
    population = profile.population
    if population.level_mean is None:
        return profile
    begin = later.value[later.begin]
    level = float(np.median(begin))
    spread = max(_spread(begin - level), profile.measurement_noise)
    return msgspec.structs.replace(
        profile, population=Population(level, spread, population.slope_mean)
    )


def _spread(away: F64) -> float:
    return MAD * float(np.median(np.abs(away)))
