"""The algebra, the vector pass and the scalar pass compute the same bits."""

from math import nan

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.filter import algebra, fold, forward, noise
from kalmap.filter.algebra import STEADY_BELOW, Estimate, Transition
from kalmap.filter.model import MICROSECONDS_PER_DAY, transition
from kalmap.filter.offsets import offsets
from kalmap.filter.parameters import parameters_of
from kalmap.profile import Faults
from tests.support.histories import NOW, columns, extreme_profiles, histories, profiles


def textbook(profile, history):
    """Result columns of one user's readings up to the first question, from the algebra alone."""
    parameters = parameters_of(profile)
    time, source = (np.array([r[part] for r in history]) for part in (0, 4))
    added = offsets(profile, time, source) if history else None
    estimate, scale, learned, rows = parameters.population, 1.0, 0.0, []
    for number, reading in enumerate(history):
        variance = float(parameters.variances[reading.source]) * scale
        value = reading.value if added is None else reading.value - float(added[number])
        if estimate is None:
            estimate = algebra.restart(
                value, variance, parameters.slope_mean, parameters.slope_variance
            )
            rows.append((*estimate[:3], learned, nan, nan))
            continue
        before = history[max(number - 1, 0)].time
        gap = np.array([(reading.time - before) / MICROSECONDS_PER_DAY])
        parts = [part if part is None else float(part[0]) for part in transition(profile, gap)]
        prior = algebra.predict(estimate, Transition(*parts))
        innovation = algebra.innovation(prior, value, variance)
        nis = algebra.nis(innovation)
        if nis > parameters.doubt:
            break
        steady = variance * innovation.precision < STEADY_BELOW
        update = algebra.update_steady if steady else algebra.update
        estimate = update(prior, innovation, variance)
        if number == 0:
            rows.append((*estimate[:3], learned, nan, nan))
            continue
        learned = min(learned + 1.0, parameters.memory)
        if parameters.learns:
            scale *= (min(nis, noise.MOST_SURPRISE) - 1.0) / (learned + parameters.prior) + 1.0
            scale = max(scale, noise.LEAST_SCALE)
        rows.append((*estimate[:3], learned, prior.level, nis))
    level, slope, p00, readings, predicted, nis = np.array(rows).reshape(-1, 6).T
    return {
        "level": level,
        "level_sd": np.sqrt(p00) * noise.width(parameters, readings),
        "slope": slope,
        "predicted": predicted,
        "nis": nis,
    }


@settings(max_examples=150, deadline=None)
@given(st.one_of(profiles(), extreme_profiles()), histories(most=20))
@pytest.mark.parametrize("width", [1, 10**9], ids=["vector pass", "scalar pass"])
def test_both_passes_compute_the_bits_of_the_algebra(width, profile, history):
    low, high = profile.range
    # The fold stores -0.0 as 0.0.
    history = [r._replace(value=r.value + 0.0) for r in history]
    history = [r for r in history if low <= r.value <= high and r.time <= NOW]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "VECTOR_WIDTH", width)
        folded = fold.fold_users(profile, [None], columns([(0, r) for r in history]), NOW)
    for name, numbers in textbook(profile, history).items():
        ours = getattr(folded.decisions, name)[: numbers.size]
        assert ours.tobytes() == numbers.tobytes(), name


@settings(max_examples=50, deadline=None)
@given(profiles(), histories(most=20))
def test_without_faults_no_reading_raises_a_question(profile, history):
    profile = msgspec.structs.replace(profile, faults=Faults(share=0.0))
    history = [r for r in history if 20.0 <= r.value <= 350.0 and r.time <= NOW]
    assert textbook(profile, history)["level"].size == len(history)
    folded = fold.fold_users(profile, [None], columns([(0, r) for r in history]), NOW)
    assert not folded.decisions.reason.any()
    assert (folded.decisions.quality == 1.0).all()
    assert not folded.decisions.restarted.any()


NUMBERS = st.floats(0.0, 1e6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[NUMBERS] * 14), min_size=1, max_size=8), st.booleans())
def test_floats_and_arrays_give_the_same_bits(rows, drifts):
    def step(v):
        estimate = Estimate(*v[:5])
        prior = algebra.predict(estimate, Transition(*v[5:10], *(v[12:14] if drifts else ())))
        noise = v[10] + 1e-9
        innovation = algebra.innovation(prior, v[11], noise)
        return (
            *prior,
            algebra.nis(innovation),
            *algebra.update(prior, innovation, noise),
            algebra.steady_p11(prior.p00 + 1e-9, prior.p01, prior.p11, v[3]),
            *algebra.restart(v[11], noise, -0.01, 0.25),
        )

    together = np.array(step(np.array(rows).T))
    alone = np.array([step(row) for row in rows]).T
    assert together.tobytes() == alone.tobytes()


def test_the_steady_update_is_the_same_update_where_no_digit_is_lost():
    prior, noise = Estimate(80.0, 0.1, 2.0, 0.5, 1.0), 1.5
    innovation = algebra.innovation(prior, 81.0, noise)
    plain = algebra.update(prior, innovation, noise)
    steady = algebra.update_steady(prior, innovation, noise)
    assert steady[:4] == plain[:4]
    assert steady.p11 == pytest.approx(plain.p11, rel=1e-14)


def test_a_steady_p11_is_never_negative():
    # Here p11 - p01^2 / p00 rounds below zero.
    p00, p01 = 3.0, 1e8 + 0.1
    p11 = np.nextafter(p01 * p01 / p00, 0.0)
    assert algebra.steady_p11(p00, p01, p11, 0.0) >= 0.0
