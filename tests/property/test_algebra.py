"""The algebra, the vector pass and the scalar pass compute the same bits."""

from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.filter import algebra, fold, forward
from kalmap.filter.algebra import STEADY_BELOW, Estimate, Transition
from kalmap.filter.model import MICROSECONDS_PER_DAY, measurement_variances, transition
from tests.support.histories import NOW, columns, extreme_profiles, histories, profiles


def textbook(profile, history):
    """Result columns of one user's readings, from the algebra alone."""
    noises = measurement_variances(profile)
    estimate, rows = None, []
    for number, reading in enumerate(history):
        noise = float(noises[reading.source])
        if estimate is None:
            estimate = algebra.restart(reading.value, noise, profile.slope_prior**2)
            rows.append((*estimate[:3], nan, nan, 0.0))
            continue
        gap = (reading.time - history[number - 1].time) / MICROSECONDS_PER_DAY
        step = Transition(*(float(part[0]) for part in transition(profile, np.array([gap]))))
        reach = (profile.rate_limit * gap) * (profile.rate_limit * gap) + profile.gate * noise
        rate = algebra.rate(estimate, reading.value, profile.gate, reach)
        prior = algebra.predict(estimate, step)
        innovation = algebra.innovation(prior, reading.value, noise)
        nis = algebra.nis(innovation)
        steady = noise * innovation.precision < STEADY_BELOW
        update = algebra.update_steady if steady else algebra.update
        rejected = nis > profile.gate or rate > 1.0
        estimate = prior if rejected else update(prior, innovation, noise)
        rows.append((*estimate[:3], prior.level, nis, rate))
    level, slope, p00, predicted, nis, rate = np.array(rows).T
    return {
        "level": level,
        "level_sd": np.sqrt(p00),
        "slope": slope,
        "predicted": predicted,
        "nis": nis,
        "rate": rate,
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
    # A completed recovery begins anew, which this loop does not.
    restarts = np.flatnonzero(folded.outcomes.restarted)
    end = int(restarts[0]) if restarts.size else len(history)
    if not end:
        return
    for name, numbers in textbook(profile, history[:end]).items():
        assert getattr(folded.outcomes, name)[:end].tobytes() == numbers.tobytes(), name


NUMBERS = st.floats(0.0, 1e6)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(*[NUMBERS] * 12), min_size=1, max_size=8))
def test_floats_and_arrays_give_the_same_bits(rows):
    def step(v):
        estimate, transition_ = Estimate(*v[:5]), Transition(*v[5:10])
        prior = algebra.predict(estimate, transition_)
        noise = v[10] + 1e-9
        innovation = algebra.innovation(prior, v[11], noise)
        return (
            *prior,
            algebra.nis(innovation),
            *algebra.update(prior, innovation, noise),
            algebra.steady_p11(prior.p00 + 1e-9, prior.p01, prior.p11, v[3]),
            *algebra.restart(v[11], noise, 0.25),
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
