"""Generators of readings, batches and profiles that reach the edges of the fold.

Hypothesis draws the profile, the number of readings, and a seed. The readings come from the seed:
drawn one by one, they cost more time than their folds.
"""

from random import Random
from typing import NamedTuple

import msgspec
import numpy as np
from hypothesis import strategies as st

from kalmap.filter.decisions import Decisions
from kalmap.filter.fold import Folded
from kalmap.profile import (
    Faults,
    Jumps,
    NoiseLearning,
    Population,
    Profile,
    Rhythm,
    Window,
    builtin_profile,
    load_profile,
)
from kalmap.readings import UNKNOWN_SOURCE, Readings

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 1_700_000_000 * SECOND
NOW = START + 20_000 * DAY

#: From equal timestamps over a second to ten years.
GAPS = (0, 1, SECOND, 3600 * SECOND, DAY // 2, DAY, 2 * DAY, 7 * DAY, 90 * DAY, 3653 * DAY)


class Reading(NamedTuple):
    """One reading of one user; its key comes first, so tuples sort as keys do."""

    time: int
    tag: int
    hash: int
    value: float
    source: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self[:3]


def columns(readings: list[tuple[int, Reading]]) -> Readings:
    """(user, reading) pairs as columns, in their order."""
    user, rows = [pair[0] for pair in readings], [pair[1] for pair in readings]
    return Readings(
        np.array(user, np.int32),
        np.array([r.time for r in rows], np.int64),
        np.array([r.value for r in rows], np.float64),
        np.array([r.source for r in rows], np.uint8),
        np.array([r.tag for r in rows], np.uint8),
        np.array([r.hash for r in rows], np.uint64),
        np.arange(len(rows), dtype=np.int64),
    )


_POPULATIONS = st.sampled_from(
    [
        Population(),
        Population(77.0, 18.0),
        Population(80.0, 0.5, -0.01),
        Population(slope_mean=0.05),
    ]
)
_FAULTS = st.sampled_from(
    [
        Faults(),
        Faults(share=0.0),
        Faults(0.2, 0.9, 0.5),
        Faults(0.02, 0.0, 0.0),
        Faults(0.5, 0.99, 1.0),
    ]
)
_JUMPS = st.sampled_from([Jumps(), Jumps(share=0.0), Jumps(0.05, 3.0), Jumps(0.5, 1e-3)])
_LEARNING = st.sampled_from(
    [
        None,
        NoiseLearning(),
        NoiseLearning(1.0, 2.0),
        NoiseLearning(63.0, 63.0),
        NoiseLearning(8.0, 3.0),
    ]
)

_RHYTHMS = st.sampled_from([Rhythm(), Rhythm(tuple(0.1 * hour for hour in range(24)), (0.2,) * 7)])


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Body weight with small and large windows, and with each part of the filter on and off."""
    slope = draw(st.sampled_from([(0.0, 0.0, 0.0), (0.004, 0.03, 0.02), (0.05, 1.0, 0.0)]))
    return msgspec.structs.replace(
        builtin_profile("body-weight"),
        slope_noise=slope[0],
        slope_prior=slope[1],
        slope_damping=slope[2],
        level_noise=draw(st.sampled_from([0.0, 0.15])),
        population=draw(_POPULATIONS),
        faults=draw(_FAULTS),
        jumps=draw(_JUMPS),
        learning=draw(_LEARNING),
        biases=draw(st.sampled_from([{}, {"scale": 0.3, "clinic": -1.0}])),
        rhythm=draw(_RHYTHMS),
        window=Window(
            readings=draw(st.sampled_from([1, 2, 3, 4, 24])),
            days=draw(st.sampled_from([1e-6, 1.0, 8.0, 60.0, 3000.0])),
        ),
    )


_TINY_AND_HUGE = st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e3, 1e9])
_WIDTHS = st.sampled_from([1e-9, 1e-3, 1.0, 1e3, 1e9])


@st.composite
def extreme_profiles(draw: st.DrawFn) -> Profile:
    """Numbers at the ends of what a profile allows."""
    base = msgspec.structs.asdict(builtin_profile("body-weight"))
    mean = draw(st.sampled_from([None, -1e12, 0.0, 80.0]))
    return load_profile(
        base
        | {
            "level_noise": draw(_TINY_AND_HUGE),
            "slope_noise": draw(_TINY_AND_HUGE),
            "slope_prior": draw(_TINY_AND_HUGE),
            "slope_damping": draw(st.sampled_from([0.0, 1e-9, 0.02, 1.0, 1e4])),
            "measurement_noise": draw(_WIDTHS),
            "population": {
                "level_mean": mean,
                "level_sd": None if mean is None else draw(_WIDTHS),
                "slope_mean": draw(st.sampled_from([0.0, -1e-9, 1.0, 1e9])),
            },
            "faults": draw(_FAULTS),
            "jumps": {
                "share": draw(st.sampled_from([0.0, 0.003, 0.5])),
                "sd": draw(st.one_of(st.none(), _WIDTHS)),
            },
            "learning": draw(_LEARNING),
            "range": (-1e12, 1e12),
            "window": {"readings": 24, "days": 3000.0},
        }
    )


_LEVELS = (80.0, 80.4, 79.8, 88.0, 88.3, 60.0, 176.4, 36.3, 120.0)
_ODD_VALUES = (0.0, -0.0, 5e-324, -1.0, 20.0, 350.0, 350.0000001, 1e12, 1e308)
_RANDOM = st.randoms(use_true_random=True)


@st.composite
def histories(draw: st.DrawFn, *, most: int = 30) -> list[Reading]:
    """A user's readings in key order, keys all different."""
    size = draw(st.one_of(st.integers(1, most), st.sampled_from([1, 2, 4, 5, 24, 25])))
    wild, random = draw(st.booleans()), draw(_RANDOM)
    time = START
    readings: dict[tuple[int, int, int], Reading] = {}
    for _ in range(size):
        time += random.choice(GAPS[:-1] if len(readings) % 5 else GAPS)
        late = wild and random.randrange(16) == 0
        reading = Reading(
            NOW + 400 * DAY if late else min(time, NOW),
            random.randrange(2),
            random.choice((0, 1, 2, 2**63, 2**64 - 1)),
            random.choice(_ODD_VALUES if wild and random.randrange(4) == 0 else _LEVELS),
            random.choice((0, 1, 2, 3, UNKNOWN_SOURCE)),
        )
        readings.setdefault(reading.key, reading)
    return sorted(readings.values())


def _stored(profile: Profile, reading: Reading) -> bool:
    return reading.time <= NOW and profile.range[0] <= reading.value <= profile.range[1]


def _last_absorbed(profile: Profile, arrived: list[Reading]) -> tuple[int, int, int] | None:
    """The checkpoint's key once these readings are folded."""
    stored = sorted(reading for reading in arrived if _stored(profile, reading))
    if not stored:
        return None
    oldest = stored[-1].time - round(profile.window.days * DAY)
    window = [reading for reading in stored[-profile.window.readings :] if reading.time >= oldest]
    absorbed = stored[: len(stored) - len(window)]
    return absorbed[-1].key if absorbed else None


def timely_batches(random: Random, profile: Profile, history: list[Reading]) -> list[list[Reading]]:
    """A history cut into batches, out of order, each reading before the checkpoint passes it.

    Some readings come twice.
    """
    remaining, arrived, batches = list(history), [], []
    while remaining:
        # Some batches have few of the readings, some most of them.
        share = random.choice((0.1, 0.5, 0.9))
        batch = [reading for reading in remaining if random.random() < share]
        if not batch:
            batch = [random.choice(remaining)]
        # Those the checkpoint would pass come along: then it passes none that is still to come.
        passed = _last_absorbed(profile, arrived + batch)
        if passed is not None:
            batch += [r for r in remaining if r not in batch and r.key <= passed]
        arrived += batch
        remaining = [reading for reading in remaining if reading not in batch]
        batch += random.choices(arrived, k=random.randrange(3))
        random.shuffle(batch)
        batches.append(batch)
    return batches


@st.composite
def cases(draw: st.DrawFn, *, most: int = 30) -> tuple[Profile, list[Reading], list[list[Reading]]]:
    """A profile, a history and the batches it arrives in."""
    profile = draw(profiles())
    history = draw(histories(most=most))
    return profile, history, timely_batches(draw(_RANDOM), profile, history)


def assert_same_results(one: Folded, two: Folded, chosen: np.ndarray | slice = slice(None)) -> None:
    """Hold the chosen results of one fold to all of another, to the bit."""
    for name in Decisions._fields:
        left, right = getattr(one.decisions, name)[chosen], getattr(two.decisions, name)
        assert left.tobytes() == right.tobytes(), name
