"""Fitting a whole profile to users' readings.

First comes a rough profile, which tells wild readings and jumps from the others. Then level, slope,
noises and population are fitted to the others (`dynamics`), twice, as a better profile tells them
apart better. Last come faults, jumps and the learning of noises, by the filter's own likelihood
(`faults`).
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap.plural import counted
from kalmap.profile import MULTIPLIERS, Population, Profile, Rhythm
from kalmap.readings import F64, I64, UNKNOWN_SOURCE, Bool
from kalmap_cli.tuning.additions import Additions, fit_additions
from kalmap_cli.tuning.dynamics import Search
from kalmap_cli.tuning.errors import Number, standard_errors
from kalmap_cli.tuning.faults import fit_faults, fit_lasting_jumps, fit_memory
from kalmap_cli.tuning.hindsight import told_apart
from kalmap_cli.tuning.plain import Models, Packed, pack
from kalmap_cli.tuning.ranges import inside, plausible
from kalmap_cli.tuning.segments import STEPS, Segments, segments_of
from kalmap_cli.tuning.users import Typical, Users, typical_of
from kalmap_cli.tuning.widening import widened, widening

#: With fewer users nothing is said of the population.
LEAST_USERS = 5
#: Readings that the model is fitted to, and how many of each user.
_MODEL_READINGS, _MODEL_STEPS = 15_000, 100
#: Readings for the search's first part, which begins at several places.
_START_READINGS, _START_STEPS = 4_000, 40
#: With so few, more is tried.
FEW_READINGS = 2_000
#: A source with fewer readings than this keeps its multiplier.
_LEAST_READINGS = 200
#: Readings are one occasion within this share of the days between readings, at most.
_OCCASION = 0.1
#: Jumps are larger than so many standard deviations of noise.
_JUMP = 8.0

Progress = Callable[[str], None]


class Fitted(NamedTuple):
    """A profile, and what it was fitted with."""

    profile: Profile
    typical: Typical
    additions: Additions
    numbers: list[Number]
    """The main ones, with their standard errors."""
    looked_at: str
    """Which readings it was fitted to."""


def fit(base: Profile, users: Users, progress: Progress) -> Fitted:
    """Fit a profile.

    Args:
        base: Has unit, sources and window. Whether it knows faults, jumps and the learning of
            noises decides whether these are fitted.
        users: The readings.
        progress: Gets a sentence now and then.
    """
    limited = msgspec.structs.replace(base, range=plausible(base.range, users))
    users = inside(limited, users)
    typical = typical_of(users)
    occasion = occasion_of(base, typical)
    limited = msgspec.structs.replace(
        limited, faults=msgspec.structs.replace(base.faults, occasion=occasion)
    )
    sample = users.beginnings(_MODEL_STEPS).sample(_MODEL_READINGS)
    segments = segments_of(users)
    additions = _added(rough_profile(limited, users, typical), sample, typical, None)
    profile = _without_additions(limited)
    typical = typical_of(additions.less(profile, users))._replace(step=typical.step)
    rough = rough_profile(profile, additions.less(profile, users), typical)
    profile = _by_hindsight(rough, additions.less(profile, sample), typical, progress)
    # The better model tells additions better.
    additions = _added(_with_additions(profile, limited), sample, typical, additions)
    segments = Segments(
        additions.less(profile, segments.first),
        segments.later and additions.less(profile, segments.later),
    )
    profile = fit_faults(profile, segments, typical.floor, progress)
    if segments.size <= FEW_READINGS:
        # Of few readings, hindsight may take too many for wild.
        other = _believing(rough, additions.less(rough, sample), typical, progress)
        other = fit_faults(other, segments, typical.floor, progress)
        profile = max(profile, other, key=segments.log_likelihood)
    profile = fit_lasting_jumps(profile, additions.less(profile, sample))
    profile = fit_memory(profile, additions.less(profile, sample))
    if segments.size <= FEW_READINGS:
        profile = _widened(profile, additions.less(profile, sample), typical, progress)
    profile = _rounded(_with_noises_kept(profile, base, sample), typical)
    numbers = _numbers(profile, additions.less(profile, sample))
    return Fitted(additions.put(profile), typical, additions, numbers, _looked_at(sample, segments))


def occasion_of(base: Profile, typical: Typical) -> float:
    """Days. What is close in time depends on how often users are measured."""
    return min(base.faults.occasion, float(f"{_OCCASION * typical.spacing:.3g}"))


def _looked_at(sample: Users, segments: Segments) -> str:
    first, later = segments
    text = (
        f"Level and slope were fitted to the first {_MODEL_STEPS} readings, at most, of "
        f"{counted(sample.counts.size, 'user')}; faults, jumps and noises to the first {STEPS} of "
        f"{counted(first.counts.size, 'user')}"
    )
    if later is None:
        return f"{text}."
    pieces = counted(later.counts.size, "piece")
    return f"{text}, and to {pieces} of later readings, {STEPS} in a row at most, chosen at random."


def _numbers(profile: Profile, users: Users) -> list[Number]:
    """The profile's numbers with their standard errors."""
    codes, kinds = _codes(users), _Kinds(*told_apart(profile, users))
    return standard_errors(profile, _packed(profile, users, codes, kinds), codes)


def _added(profile: Profile, users: Users, typical: Typical, before: Additions | None) -> Additions:
    """What is added to readings, by those that hindsight says are good."""
    good, _ = told_apart(profile if before is None else before.put(profile), users)
    return fit_additions(profile, users, good, typical)


def _without_additions(profile: Profile) -> Profile:
    return msgspec.structs.replace(profile, biases={}, rhythm=Rhythm())


def _with_additions(profile: Profile, other: Profile) -> Profile:
    return msgspec.structs.replace(profile, biases=other.biases, rhythm=other.rhythm)


def _by_hindsight(rough: Profile, users: Users, typical: Typical, progress: Progress) -> Profile:
    """Fit the model to the readings that hindsight says are good, and once more."""
    codes = _codes(users)
    few = users.beginnings(_START_STEPS).sample(_START_READINGS)
    good, jumped = told_apart(rough, few)
    search = _search(rough, few, typical, codes, _Kinds(good, jumped))
    point = search.best_of(search.starts())
    profile = _with_model(rough, search.model(point), codes, typical)
    good, jumped = told_apart(profile, few)
    search = _search(profile, few, typical, codes, _Kinds(good, jumped))
    point = search.best_of([point.place, *search.starts()])
    progress(f"level and slope: {-point.likelihood / good.sum():.4f}")
    profile = _with_model(profile, search.model(point), codes, typical)
    if few.value.size < users.value.size:
        good, jumped = told_apart(profile, users)
        search = _search(profile, users, typical, codes, _Kinds(good, jumped))
        [point] = search.improved([point], 20)
        progress(f"the same of more readings: {-point.likelihood / good.sum():.4f}")
    return _with_model(profile, search.model(search.simplest(point)), codes, typical)


def _believing(rough: Profile, users: Users, typical: Typical, progress: Progress) -> Profile:
    """Fit the model to all readings."""
    codes, everything = _codes(users), np.ones(users.value.size, np.bool_)
    search = _search(rough, users, typical, codes, _Kinds(everything, ~everything))
    point = search.simplest(search.best_of(search.starts()))
    progress(f"level and slope, of all readings: {-point.likelihood / users.value.size:.4f}")
    return _with_model(rough, search.model(point), codes, typical)


def _widened(profile: Profile, users: Users, typical: Typical, progress: Progress) -> Profile:
    """As much less sure as the users that it was not fitted to ask for."""
    if users.counts.size < LEAST_USERS:
        return profile
    codes = _codes(users)

    def fitted(some: Users) -> Models:
        kinds = _Kinds(*told_apart(profile, some))
        search = _search(profile, some, typical, codes, kinds)
        return search.model(search.simplest(search.best_of(search.starts())))

    def packed(some: Users) -> Packed:
        return _packed(profile, some, codes, _Kinds(*told_apart(profile, some)))

    factor = widening(users, fitted, packed)
    progress(f"standard deviations for users that are not among these: {factor:.2f} times larger")
    return widened(profile, factor)


class _Kinds(NamedTuple):
    """What hindsight says of each reading."""

    good: Bool
    jumped: Bool
    """Whether the level jumped before it."""


def _packed(profile: Profile, users: Users, codes: I64, kinds: _Kinds) -> Packed:
    jumps = np.where(kinds.jumped, (profile.jumps.sd or 0.0) ** 2, 0.0)
    weighs_first = profile.population.level_mean is not None
    return pack(users, codes, kinds.good, jumps, weighs_first=weighs_first)


def _search(profile: Profile, users: Users, typical: Typical, codes: I64, kinds: _Kinds) -> Search:
    readings = _packed(profile, users, codes, kinds)
    return Search(readings, typical, codes.size, learns=profile.learning is not None)


def rough_profile(base: Profile, users: Users, typical: Typical) -> Profile:
    """A random walk with slopes, wide enough not to take good readings for wild ones."""
    knows = users.counts.size >= LEAST_USERS
    return msgspec.structs.replace(
        base,
        measurement_noise=max(typical.change, typical.floor),
        level_noise=0.7 * typical.change / typical.gap**0.5,
        slope_noise=0.0,
        slope_damping=0.1 / typical.gap,
        slope_prior=max(typical.pace_sd, abs(typical.pace)),
        population=Population(
            typical.first if knows else None, typical.first_sd if knows else None, typical.pace
        ),
        jumps=msgspec.structs.replace(base.jumps, sd=_JUMP * typical.change),
    )


def _codes(users: Users) -> I64:
    """Source codes in use, the commonest first; rare ones are counted with it."""
    counts = np.bincount(users.source, minlength=256)
    order = np.argsort(-counts, kind="stable")
    codes = order[counts[order] >= _LEAST_READINGS]
    return codes if codes.size else order[:1]


def _with_model(profile: Profile, model: Models, codes: I64, typical: Typical) -> Profile:
    names = Models._fields[:-1]
    found = {name: float(part[0]) for name, part in zip(names, model[:-1], strict=True)}
    slope_mean = found["slope_mean"]
    population = Population(None, None, slope_mean)
    if profile.population.level_mean is not None:
        population = Population(found["level_mean"], found["level_sd"], slope_mean)
    learning = profile.learning
    if learning is not None:
        learning = msgspec.structs.replace(learning, prior=min(max(found["learned"], 1.0), 63.0))
    return msgspec.structs.replace(
        profile,
        measurement_noise=max(found["noise"], typical.floor, 1e-9),
        level_noise=found["level_noise"],
        slope_noise=found["slope_noise"],
        slope_damping=min(found["damping"], 1e4),
        slope_prior=found["slope_sd"],
        population=population,
        learning=learning,
        **_multipliers(profile, model.multiplier[:, 0], codes),
    )


def _multipliers(profile: Profile, found: F64, codes: I64) -> dict[str, object]:
    """The sources' noises; the commonest of those that are known has multiplier 1."""
    low, high = MULTIPLIERS
    fitted = dict(zip(codes.tolist(), found.tolist(), strict=True))
    sources = {
        name: min(max(fitted.get(code, profile.sources[name]), low), high)
        for code, name in enumerate(profile.source_names)
    }
    unknown = min(max(fitted.get(UNKNOWN_SOURCE, profile.unknown_source), low), high)
    return {"sources": sources, "unknown_source": unknown}


def _with_noises_kept(profile: Profile, base: Profile, users: Users) -> Profile:
    """Sources that the fit did not see keep their noise, whatever that of the others became."""
    seen = set(_codes(users).tolist())
    factor, (low, high) = base.measurement_noise / profile.measurement_noise, MULTIPLIERS
    sources = {
        name: multiplier if code in seen else min(max(factor * base.sources[name], low), high)
        for code, (name, multiplier) in enumerate(sorted(profile.sources.items()))
    }
    unknown = profile.unknown_source
    if UNKNOWN_SOURCE not in seen:
        unknown = min(max(factor * base.unknown_source, low), high)
    return msgspec.structs.replace(profile, sources=sources, unknown_source=unknown)


def _rounded(profile: Profile, typical: Typical) -> Profile:
    """Four digits say all that readings told."""

    def short(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.4g}")

    noise = max(float(f"{profile.measurement_noise:.4g}"), typical.floor)
    population, jumps, faults = profile.population, profile.jumps, profile.faults
    return msgspec.structs.replace(
        profile,
        measurement_noise=noise,
        level_noise=short(profile.level_noise),
        slope_noise=short(profile.slope_noise),
        slope_damping=short(profile.slope_damping),
        slope_prior=short(profile.slope_prior),
        sources={name: short(value) for name, value in profile.sources.items()},
        unknown_source=short(profile.unknown_source),
        population=Population(
            short(population.level_mean),
            short(population.level_sd),
            short(population.slope_mean) or 0.0,
        ),
        faults=msgspec.structs.replace(
            faults,
            **{
                name: float(f"{getattr(faults, name):.3g}")
                for name in ("share", "repeated", "wrong_unit")
            },
        ),
        jumps=type(jumps)(float(f"{jumps.share:.3g}"), short(jumps.sd)),
        learning=profile.learning
        and msgspec.structs.replace(profile.learning, prior=round(4 * profile.learning.prior) / 4),
    )
