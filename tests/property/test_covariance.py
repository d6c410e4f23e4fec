"""Law 5: covariances stay symmetric, positive semi-definite and finite, at any gap and length."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.filter import codec
from kalmap.filter.columns import WEIGHT, Belief
from kalmap.filter.estimates import newest_estimates, predict
from kalmap.filter.fold import fold_users
from kalmap.profile import builtin_profile, digest
from tests.support.histories import (
    DAY,
    NOW,
    START,
    Reading,
    columns,
    extreme_profiles,
    histories,
    profiles,
)


def _semi_definite(numbers: np.ndarray) -> bool:
    _, _, p00, p01, p11 = numbers
    sound = np.isfinite(numbers).all() and (p00 > 0.0).all() and (p11 >= 0.0).all()
    return bool(sound and (p01 * p01 <= p00 * p11 * (1.0 + 1e-9)).all())


def _assert_semi_definite(belief: Belief) -> None:
    """Hold each hypothesis of one user to the law: they are what is stored, after rounding."""
    assert _semi_definite(belief.estimate[:, 0])
    for other in belief.others[:, :, 0]:
        if other[WEIGHT] > 0.0:
            assert _semi_definite(other[:WEIGHT])
            assert other[WEIGHT] <= 1.0
    assert belief.scale[0] > 0.0
    assert np.isfinite(belief.scale[0])


@settings(max_examples=300, deadline=None)
@given(st.one_of(extreme_profiles(), profiles()), histories())
def test_every_covariance_is_positive_semi_definite(profile, history):
    folded = fold_users(profile, [None], columns([(0, r) for r in history]), NOW)
    assert folded.users.failure[0] == 0, folded.errors
    estimated = ~np.isnan(folded.decisions.level)
    for name in ("level", "level_sd", "slope", "quality"):
        assert np.isfinite(getattr(folded.decisions, name)[estimated]).all(), name
    assert (folded.decisions.level_sd[estimated] > 0.0).all()
    assert (
        (folded.decisions.quality[estimated] >= 0.0) & (folded.decisions.quality[estimated] <= 1.0)
    ).all()
    body = folded.bodies[0]
    if body is None:
        return
    state = codec.decode([body], digest(profile))
    assert state.failure[0] == 0
    if state.checkpoints.exists[0]:
        _assert_semi_definite(state.checkpoints.belief)
    newest = newest_estimates(profile, [body])
    assert _semi_definite(newest.estimate[:, 0])
    _assert_semi_definite(newest.belief)
    level, deviation, slope = predict(profile, body, int(newest.as_of[0]) + 3653 * DAY)
    assert np.isfinite([level, deviation, slope]).all()
    assert deviation > 0.0


@pytest.mark.parametrize("noise", [(0.0, 0.0), (0.15, 0.004), (0.0, 1e-6)])
def test_ten_thousand_readings_a_second_apart_keep_the_covariance_sound(noise):
    profile = msgspec.structs.replace(
        builtin_profile("body-weight"), level_noise=noise[0], slope_noise=noise[1]
    )
    history = [Reading(START + i * 1_000_000, 0, 1, 80.0, 0) for i in range(10_000)]
    folded = fold_users(profile, [None], columns([(0, r) for r in history]), NOW)
    assert folded.users.failure[0] == 0
    assert (np.diff(folded.decisions.level_sd) <= 1e-12).all()
    assert _semi_definite(newest_estimates(profile, [folded.bodies[0]]).estimate[:, 0])
