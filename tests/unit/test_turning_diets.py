"""Users who diet, stop and gain again, and weigh themselves once a day to once a month."""

import numpy as np
import pytest

from benchmarks.trials import product, scores, turning
from kalmap.profile import builtin_profile


@pytest.mark.parametrize("spacing", turning.SPACINGS)
def test_body_weight_follows_a_diet_that_turns_however_seldom_it_is_weighed(spacing):
    gap, readings = turning.SPACINGS[spacing]
    series, truth = turning.weighings(gap, readings, seed=3)
    kalmap = product.run(builtin_profile("body-weight"), series, "scale")
    inside = scores.coverage(truth[:, 3:], kalmap.level[:, 3:], kalmap.level_sd[:, 3:])
    # The last value has an error of 0.5 kg, the noise of a reading.
    assert scores.rmse((kalmap.level - truth)[:, 3:]) < 0.9
    assert inside > 0.88
    assert np.mean(kalmap.wrong > 0.5) < 0.01
