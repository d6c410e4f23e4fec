"""The accuracy of estimates on simulated users that the profile was not fitted to."""

import pytest

from benchmarks.accuracy import BOUNDS, figures


@pytest.fixture(scope="module")
def accuracy():
    return figures(users=800, days=180, seed=29)


@pytest.mark.parametrize("name", BOUNDS)
def test_an_accuracy_figure_is_within_its_bounds(name, accuracy):
    low, high = BOUNDS[name]
    assert low <= accuracy[name] <= high


def test_doubt_and_learning_lose_little_accuracy_on_readings_without_faults(accuracy):
    doubting, believing = (
        accuracy["clean: RMSE kalmap, kg"],
        accuracy["clean: RMSE filter that believes all, kg"],
    )
    assert doubting == pytest.approx(believing, rel=0.03)
