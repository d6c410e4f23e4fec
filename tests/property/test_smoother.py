"""Smoothed levels are finite and have a variance, whatever the profile and the readings."""

import numpy as np
from hypothesis import given, settings

from kalmap.filter.estimates import describe
from kalmap.filter.fold import fold_users
from tests.support.histories import NOW, columns, extreme_profiles, histories


@settings(max_examples=150, deadline=None)
@given(extreme_profiles(), histories())
def test_every_smoothed_level_is_a_number_with_a_width(profile, history):
    body = fold_users(profile, [None], columns([(0, r) for r in history]), NOW).bodies[0]
    if body is None:
        return
    view = describe(body, profile)
    assert len(view.window_readings) == view.window
    levels = [reading.level_smoothed for reading in view.window_readings]
    widths = np.array([reading.level_smoothed_sd for reading in view.window_readings])
    assert np.isfinite(levels).all()
    assert np.isfinite(widths).all()
    assert (widths > 0.0).all()
