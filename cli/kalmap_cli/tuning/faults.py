"""Fitting what the filter holds of faults, jumps and users' noises: the profile's own likelihood.

A compass search (Kolda, Lewis and Torczon, SIAM Review 45, 2003): each number in turn is tried a
step up and down; steps grow on success and shrink on failure. Every trial folds all readings, so
the search starts at a good profile. Few faults say little of how often they happen, so each
probability has a prior that is worth a few readings.
"""

from collections.abc import Callable
from math import exp, inf, isfinite, log
from typing import Any, NamedTuple

import msgspec
import numpy as np

from kalmap.profile import Profile
from kalmap.readings import F64
from kalmap_cli.tuning.dynamics import LEARNED_PRIOR
from kalmap_cli.tuning.likelihood import foretell, mean_log_likelihood
from kalmap_cli.tuning.segments import Segments
from kalmap_cli.tuning.users import Users


class Number(NamedTuple):
    """A number of a profile that the search changes."""

    section: str | None
    field: str
    low: float
    high: float
    is_chance: bool = False
    prior: tuple[float, float] = (0.0, 0.0)
    """Of a chance: readings for and against it that nobody has seen. Of another number: where its
    logarithm is expected, and half of that one's precision; (0, 0) for none."""

    def of(self, profile: Profile) -> float:
        """Its value in the profile."""
        holder = profile if self.section is None else getattr(profile, self.section)
        return float(getattr(holder, self.field))

    def put(self, profile: Profile, value: float) -> Profile:
        """The profile with another value."""
        value = min(max(value, self.low), self.high)
        if self.section is None:
            return msgspec.structs.replace(profile, **{self.field: value})
        changed: Any = msgspec.structs.replace(
            getattr(profile, self.section), **{self.field: value}
        )
        return msgspec.structs.replace(profile, **{self.section: changed})

    def moved(self, profile: Profile, by: float) -> Profile:
        """The profile with the number so many steps of a logarithm (a chance: a logit) away."""
        value = self.of(profile)
        if not self.is_chance:
            return self.put(profile, value * exp(by))
        value = min(max(value, 1e-9), 1.0 - 1e-9)
        return self.put(profile, 1.0 / (1.0 + (1.0 / value - 1.0) * exp(-by)))

    def log_prior(self, profile: Profile) -> float:
        """Logarithm of its prior density."""
        value, (first, second) = self.of(profile), self.prior
        if not self.is_chance:
            return -second * (log(value) - first) ** 2
        return first * log(value) + second * log(1.0 - value)


FAULTS = Number("faults", "share", 1e-5, 0.5, is_chance=True, prior=(0.2, 100.0))
_REPEATED = Number("faults", "repeated", 1e-3, 0.95, is_chance=True, prior=(0.6, 1.4))
_WRONG_UNIT = Number("faults", "wrong_unit", 1e-3, 0.95, is_chance=True, prior=(0.6, 1.4))
#: A jump and a run of wrong readings look alike for a while; jumps are the rarer ones.
_JUMPS = Number("jumps", "share", 1e-6, 0.3, is_chance=True, prior=(0.2, 2000.0))
_JUMP_SD = Number("jumps", "sd", 1e-9, 1e9)
_LEARNED = Number("learning", "prior", 1.0, 60.0, prior=LEARNED_PRIOR)


#: Numbers of readings that users' noises may be remembered for.
_MEMORIES = (10.0, 15.0, 20.0, 30.0, 45.0, 60.0)
_SWEEPS = 6
#: With fewer jumps than this, runs cannot be among them; shares of the jumps that are tried; and
#: after how many more readings they have to have lasted.
_FEW_JUMPS, _PARTS, _LATER = 1e-3, (0.5, 0.25), (3, 5, 7)
#: Nats by which each fault or jump has to make the readings likelier. Real ones make more; jumps
#: that make less are wrong readings of some other kind.
_CLEAR = 1.0
_RARE_FAULTS, _RARE_JUMPS = 1e-4, 1e-5
#: So many nats the other numbers may gain back that rare faults or jumps have lost.
_MADE_UP = 20.0


def numbers_of(profile: Profile, floor: float) -> list[Number]:
    """What there is to fit. What the profile says never happens is left out.

    Args:
        profile: To fit.
        floor: The least noise.
    """
    found = [Number(None, "measurement_noise", max(floor, 1e-9), 1e9)]
    if profile.level_noise > 0.0:
        found.append(Number(None, "level_noise", 1e-12, 1e9))
    if profile.population.level_sd is not None:
        found.append(Number("population", "level_sd", 1e-9, 1e9))
    if profile.faults.share > 0.0:
        found.append(FAULTS)
        found.append(_REPEATED)
        found += [_WRONG_UNIT] if profile.faults.wrong_unit > 0.0 else []
        if profile.jumps.share > 0.0:
            found += [_JUMPS, _JUMP_SD]
    if profile.learning is not None:
        found.append(_LEARNED)
    return found


def fit_faults(
    profile: Profile, readings: Segments, floor: float, progress: Callable[[str], None]
) -> Profile:
    """The profile under which the readings are most likely, from this one on.

    Faults and jumps that these readings hardly show become rare, so that good readings are not
    doubted for them. They do not become impossible: what comes later may be wrong.

    Args:
        profile: Where the search starts; its level, slope and sources stay.
        readings: To fit.
        floor: The least noise.
        progress: Gets a sentence now and then.
    """
    numbers = numbers_of(profile, floor)
    start = max((profile, *_others(profile)), key=_Worth(readings, numbers))
    best = _searched(start, numbers, readings)
    progress(f"faults and jumps: {-readings.log_likelihood(best):.4f}")
    for sections in (("faults", "jumps"), ("jumps",), ("faults",)):
        quiet = _without(best, sections, numbers, readings)
        if quiet is not None:
            progress(
                f"these readings do not show {' or '.join(sections)}: they are taken to be rare"
            )
            return quiet
    return best


def _without(
    best: Profile, sections: tuple[str, ...], numbers: list[Number], readings: Segments
) -> Profile | None:
    """The profile with rare faults or jumps, if these readings do not show that there are more."""
    size, quiet, happened = readings.size, best, 0.0
    for section, chance, least in (
        ("faults", FAULTS, _RARE_FAULTS),
        ("jumps", _JUMPS, _RARE_JUMPS),
    ):
        share = chance.of(best)
        if section in sections:
            if share == 0.0:
                return None
            happened += share * size
            quiet = chance.put(quiet, min(share, _unseen(chance, size, least)))
    others = [number for number in numbers if number.section not in sections]
    # What happens to readings is told by their number, not by that of the users.
    worth = max(1.0, 0.5 * log(size)) * (len(numbers) - len(others))
    worth = max(worth, _CLEAR * happened) / size
    most = readings.log_likelihood(best)
    if most - readings.log_likelihood(quiet) > 2.0 * worth + _MADE_UP / size:
        return None
    quiet = _searched(quiet, others, readings)
    return quiet if most - readings.log_likelihood(quiet) < worth else None


def fit_lasting_jumps(profile: Profile, users: Users) -> Profile:
    """The profile with as many jumps as foretell later readings best.

    Within a run of another person's readings, a filter that jumped to them foretells the next
    reading well. So the likelihood of next readings takes runs for jumps, there and back. Readings
    after several more tell what lasted. A gain counts that is larger than its standard error.
    """
    if profile.jumps.share <= _FEW_JUMPS:
        return profile
    before, best, most = _errors_ahead(profile, users), profile, 0.0
    for part in _PARTS:
        trial = _JUMPS.put(profile, part * profile.jumps.share)
        gains = before - _errors_ahead(trial, users)
        gain = float(gains.mean())
        if gain > max(most, float(gains.std()) / gains.size**0.5):
            best, most = trial, gain
    return best


def _errors_ahead(profile: Profile, users: Users) -> F64:
    """Errors of what is expected next, for readings some later; at most a jump; (users,) sums."""
    expected, owner = foretell(profile, users).predicted, users.owner
    most = profile.jumps.sd or 0.5 * (profile.range[1] - profile.range[0])
    found = np.zeros(users.counts.size)
    for later in _LATER:
        error = np.minimum(np.abs(expected[:-later] - users.value[later:]), most)
        same = (owner[later:] == owner[:-later]) & ~np.isnan(error)
        found += np.bincount(owner[later:][same], error[same], users.counts.size)
    return found


def fit_memory(profile: Profile, users: Users) -> Profile:
    """The profile with the number of readings after which a user's noise is forgotten.

    Noises that change are forgotten sooner. Only users with many readings show it, so the given
    memory stays unless another one is worth a parameter.
    """
    learning = profile.learning
    if learning is None or users.counts.max() <= _MEMORIES[0]:
        return profile
    best, most = profile, mean_log_likelihood(profile, users)
    most += max(1.0, 0.5 * log(users.counts.size)) / users.value.size
    for memory in _MEMORIES:
        if memory > learning.prior:
            changed = msgspec.structs.replace(learning, memory=memory)
            trial = msgspec.structs.replace(profile, learning=changed)
            found = mean_log_likelihood(trial, users)
            if found > most:
                best, most = trial, found
    return best


def _unseen(chance: Number, readings: int, least: float) -> float:
    """How probable something remains that has not happened in so many readings."""
    seen, unseen = chance.prior
    return max(seen / (seen + unseen + readings), least)


def _searched(profile: Profile, numbers: list[Number], readings: Segments) -> Profile:
    worth = _Worth(readings, numbers)
    best, most = profile, worth(profile)
    steps = {number: 1.0 if number.is_chance else 0.25 for number in numbers}
    for sweep in range(_SWEEPS):
        before = most
        for number in numbers:
            for step in (steps[number], -steps[number]):
                trial = number.moved(best, step)
                found = worth(trial)
                if found > most:
                    best, most = trial, found
                    steps[number] = 1.5 * step
                    break
            else:
                steps[number] *= 0.4
        if most - before < 1e-4 and sweep > 1:
            break
    return best


def _others(profile: Profile) -> list[Profile]:
    """The same profile with other faults and jumps, which the search may not come to by itself."""
    if profile.faults.share == 0.0:
        return []
    found = []
    for share, repeated, jump in ((0.01, 0.6, 1e-4), (0.03, 0.1, 3e-4), (1e-3, 0.3, 0.01)):
        changed = _REPEATED.put(FAULTS.put(profile, share), repeated)
        found.append(_JUMPS.put(changed, jump) if profile.jumps.share > 0.0 else changed)
    return found


class _Worth:
    """Mean log-likelihood with the priors."""

    def __init__(self, readings: Segments, numbers: list[Number]) -> None:
        self._readings, self._numbers = readings, numbers

    def __call__(self, profile: Profile) -> float:
        priors = sum(number.log_prior(profile) for number in self._numbers)
        found = self._readings.log_likelihood(profile) + priors / self._readings.size
        return found if isfinite(found) else -inf
