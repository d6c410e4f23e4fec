"""What intervals hold where they are right: readings that a fitted profile itself makes.

The calmest and the noisiest third of a set's users are told by their readings alone. So the
noisiest third has more than its share of readings outside any interval, also outside a right one.
"""

import msgspec
import numpy as np

from benchmarks.trials import product, scores, series
from benchmarks.trials.series import Series
from kalmap.filter.model import transition
from kalmap.profile import Profile

_TIMES, _SEED = 10, 5


def table(names: list[str]) -> str:
    """Shares inside the 95 % interval, as a Markdown table."""
    lines = ["| set | 95 % holds | calm third | noisy third |", "|---|--:|--:|--:|"]
    for name in names:
        data = series.read(name)
        number = np.arange(len(data.value))
        random, found = np.random.default_rng(_SEED), []
        halves = []
        for half in (0, 1):
            train = data.of(number % 2 != half)
            profile = product.tuned(product.general_profile(train), train)
            halves.append((_believing(profile), data.of(number % 2 == half)))
        for _ in range(_TIMES):
            made = [(profile, simulated(profile, part, random)) for profile, part in halves]
            found.append(_holds(made))
        shown = " | ".join(f"{100.0 * share:.1f}" for share in np.mean(found, axis=0))
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


def simulated(profile: Profile, like: Series, random: np.random.Generator) -> Series:
    """Readings that the profile's model makes at the times of others."""
    users, readings = like.value.shape
    population, value = profile.population, np.full(like.value.shape, np.nan)
    level = (population.level_mean or 0.0) + (population.level_sd or 0.0) * random.normal(
        size=users
    )
    slope = population.slope_mean + profile.slope_prior * random.normal(size=users)
    for i in range(readings):
        if i:
            step = transition(profile, np.nan_to_num(like.days[:, i] - like.days[:, i - 1]))
            first, second = random.normal(size=(2, users))
            along = np.sqrt(step.q00)
            both = np.divide(step.q01, along, out=np.zeros(users), where=along > 0.0)
            own = np.sqrt(np.maximum(step.q11 - both * both, 0.0))
            level = level + step.gain * slope + along * first
            slope = step.decay * slope + both * first + own * second
            if step.level_drift is not None and step.slope_drift is not None:
                level, slope = level + step.level_drift, slope + step.slope_drift
        value[:, i] = level + profile.measurement_noise * random.normal(size=users)
    return Series(like.days, np.where(np.isnan(like.value), np.nan, value))


def _believing(profile: Profile) -> Profile:
    low, high = profile.range
    faults = msgspec.structs.replace(profile.faults, share=0.0)
    wide = (low - (high - low), high + (high - low))
    return msgspec.structs.replace(profile, faults=faults, range=wide)


def _holds(made: list[tuple[Profile, Series]]) -> tuple[float, float, float]:
    """The share of next readings inside, of all users and of both thirds."""
    answers = [product.run(profile, part) for profile, part in made]
    value = np.vstack([part.value for _, part in made])
    value[:, 0] = np.nan
    predicted = np.vstack([answer.predicted for answer in answers])
    spread = np.vstack([answer.predicted_sd for answer in answers])
    calm, noisy = scores.thirds(np.nanmean(np.abs(np.diff(value, 2, axis=1)), axis=1))
    all_users = np.arange(len(value))
    all_, calmest, noisiest = (
        scores.coverage(value[users], predicted[users], spread[users])
        for users in (all_users, calm, noisy)
    )
    return all_, calmest, noisiest
