"""A user whose noise changes is not locked out, and soon known anew."""

import numpy as np

from benchmarks.trials import product, simulators
from kalmap.profile import builtin_profile

_USERS, _GREW = 60, 40


def test_a_calm_user_who_becomes_five_times_as_noisy_is_rarely_rejected_and_soon_known():
    world = simulators.noise_grows(7, _USERS)
    found = product.run(builtin_profile("body-weight"), world.series, "scale")
    rejected = found.wrong > 0.5
    away = np.abs(world.series.value - found.predicted)
    inside = away <= 1.96 * found.predicted_sd
    assert rejected[:, :_GREW].mean() < 0.002
    assert rejected[:, _GREW : _GREW + 14].mean() < 0.06
    assert rejected[:, _GREW + 14 :].mean() < 0.004
    assert inside[:, _GREW + 14 :].mean() > 0.83
