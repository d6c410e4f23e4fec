"""`kalmap tune` finds what sources, hours and weekdays add to readings, and nothing that is not."""

import msgspec
import numpy as np
import pytest

from kalmap.profile import Profile, Rhythm, builtin_profile
from kalmap_cli.tuning.additions import Additions, fit_additions
from kalmap_cli.tuning.cautions import cautions
from kalmap_cli.tuning.fit import fit
from kalmap_cli.tuning.users import Users, typical_of

BASE = builtin_profile("body-weight")
DAY = 86_400_000_000
MORNING = 7.0 / 24.0


def weighings(
    seed: int,
    *,
    users: int = 60,
    daily: float = 0.0,
    weekly: float = 0.0,
    bias: float = 0.0,
    sources: tuple[str | None, ...] = ("scale",),
    hours: tuple[float, ...] = (MORNING, MORNING + 0.5),
) -> Users:
    """Forty weighings of each user, on one of the hours, with a noise of 0.5 kg.

    Args:
        seed: Of the random numbers.
        users: How many.
        daily: Amplitude of the day's wave, which is low in the morning.
        weekly: What is added from Saturday to Monday, over the other days.
        bias: What the second of the sources adds.
        sources: Where readings come from, with equal chances.
        hours: When readings are made, as shares of the day.
    """
    random = np.random.default_rng(seed)
    shape = (users, 40)
    days = 12_345 + np.cumsum(random.integers(1, 3, shape), axis=1)
    time = np.round((days + random.choice(hours, shape)) * DAY).astype(np.int64)
    gap = np.diff(time, axis=1, prepend=time[:, :1]) / DAY
    moved = np.cumsum(0.1 * np.sqrt(gap) * random.normal(size=shape), axis=1)
    source = random.integers(0, len(sources), shape)
    value = random.normal(75.0, 12.0, (users, 1)) + moved + 0.5 * random.normal(size=shape)
    value -= daily * np.cos(2.0 * np.pi * (time % DAY / DAY - MORNING))
    value += weekly * np.isin((time // DAY + 3) % 7, (5, 6, 0)) + bias * (source == 1)
    codes = np.array([BASE.source_code(name) for name in sources], np.uint8)
    return Users(np.full(users, 40), time.ravel(), value.ravel(), codes[source.ravel()])


def added(users: Users, base: Profile = BASE) -> Additions:
    """What is added to readings, if the noises are known."""
    model = msgspec.structs.replace(
        base, measurement_noise=0.5, level_noise=0.1, slope_noise=0.0, slope_prior=0.0
    )
    return fit_additions(model, users, np.ones(users.value.size, np.bool_), typical_of(users))


def test_readings_without_biases_and_rhythm_get_none():
    for seed in range(20, 25):
        found = added(weighings(seed, sources=("scale", "clinic", "app")))
        assert found == Additions({}, Rhythm(), 0.0)


@pytest.mark.thorough
def test_a_rhythm_of_the_day_is_found_and_costs_no_noise():
    users = weighings(2, daily=0.8)
    found = fit(BASE, users, lambda _text: None)
    hours = found.profile.rhythm.daily
    assert hours[19] - hours[7] == pytest.approx(1.6, abs=0.12)
    assert sum(hours) == pytest.approx(0.0, abs=0.01)
    assert found.profile.rhythm.weekly == ()
    assert found.profile.measurement_noise == pytest.approx(0.5, rel=0.05)
    # Nothing of it is left to warn of.
    assert cautions(found.profile, users) == []
    said = " ".join(found.additions.described(found.profile))
    assert "with the day" in said
    assert "UTC (field rhythm.daily)" in said


def test_a_rhythm_of_the_week_is_found():
    found = added(weighings(3, weekly=0.7)).rhythm
    assert found.daily == ()
    assert found.weekly == pytest.approx([0.4, -0.3, -0.3, -0.3, -0.3, 0.4, 0.4], abs=0.09)


def test_readings_at_one_hour_say_nothing_of_the_others():
    assert added(weighings(4, daily=0.8, hours=(MORNING,))).rhythm == Rhythm()


def test_the_bias_of_a_source_is_found_beside_a_rhythm():
    # The clinic is asked in the evenings only, so the two have to be told apart.
    users = weighings(5, daily=0.8, bias=1.5, sources=("scale", "clinic", "scale"), users=100)
    clinic = users.source == BASE.source_code("clinic")
    evening = users.time % DAY > DAY // 2
    users = users.where(~clinic | evening)
    found = added(users)
    assert found.biases == {"clinic": pytest.approx(1.5, abs=0.12)}
    hours = found.rhythm.daily
    assert hours[19] - hours[7] == pytest.approx(1.6, abs=0.15)
    said = " ".join(found.described(BASE))
    assert "source clinic are 1." in said
    assert "more than those of the most frequent source" in said


def test_an_unlisted_source_cannot_have_a_bias_and_a_sentence_says_so():
    found = added(weighings(6, bias=-2.0, sources=("scale", None, "scale")))
    assert found.biases == {}
    assert found.unknown == pytest.approx(-2.0, abs=0.12)
    said = " ".join(found.described(BASE))
    assert "Only a listed source can have a bias" in said


def test_a_source_with_too_few_readings_keeps_its_bias():
    base = msgspec.structs.replace(BASE, biases={"app": 0.9, "scale": 0.5})
    users = weighings(7)
    source = users.source.copy()
    source[::100] = BASE.source_code("app")
    found = added(users._replace(source=source), base)
    # Over the scale's, which is the commonest source and now has none.
    assert found.biases == {"app": pytest.approx(0.4)}
