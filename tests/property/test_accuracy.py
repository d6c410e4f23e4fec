"""How true the estimates are, on simulated users other than those the profile was fitted to."""

import pytest

from benchmarks.accuracy import BOUNDS, figures


@pytest.fixture(scope="module")
def found():
    return figures(users=800, days=180, seed=29)


@pytest.mark.parametrize("name", BOUNDS)
def test_an_accuracy_figure_is_within_its_bounds(name, found):
    low, high = BOUNDS[name]
    assert low <= found[name] <= high


def test_the_gate_costs_nothing_where_there_is_nothing_to_reject(found):
    gated, open_ = found["clean: RMSE kalmap, kg"], found["clean: RMSE filter without gate, kg"]
    assert gated == pytest.approx(open_, rel=0.01)
