"""The users that the terminal names, and why it says that readings were rejected."""

import math

import numpy as np
import pytest

from kalmap.profile import builtin_profile
from kalmap_cli.reporting.estimates import nothing_known
from kalmap_cli.reporting.movers import movers_of, sparkline
from kalmap_cli.reporting.rejection import why_rejected
from tests.support.batch_views import people, sample

WEIGHT = builtin_profile("body-weight")
USERS = ["calm", "falls", "rises", "unknown"]


def test_users_who_move_are_named_and_noise_is_not():
    drawn = sample(USERS, 9)
    estimates = nothing_known(4)._replace(
        level=np.array([80.0, 70.0, 90.0, math.nan]), level_sd=np.full(4, 0.2),
        slope=np.array([0.2, -0.1, 0.05, math.nan]),
        slope_sd=np.array([0.15, 0.01, 0.02, math.nan]),
    )  # fmt: skip
    movers = movers_of(drawn, people(drawn)._replace(estimates=estimates), WEIGHT, 3)
    assert [mover.user for mover in movers] == ["falls", "rises"]
    assert movers[0].slope == "-0.70 ± 0.14 kg a week: it falls"
    assert movers[0].level == "70.00 ± 0.39 kg"


def test_readings_without_a_level_are_left_out_of_a_sparkline():
    drawn = sample(["late"], 4)
    drawn.numbers["level"][:] = [math.nan, 70.0, math.nan, 71.0]
    estimates = nothing_known(1)._replace(
        level=np.array([71.0]), level_sd=np.array([0.2]), slope=np.array([0.5]),
        slope_sd=np.array([0.1]),
    )  # fmt: skip
    [mover] = movers_of(drawn, people(drawn)._replace(estimates=estimates), WEIGHT, 3)
    assert mover.sparkline == "▁" * 15 + "█"


def test_a_sparkline_has_the_same_span_of_time_in_each_bar():
    assert sparkline(np.arange(16.0), np.arange(16.0)) == "▁▁▂▂▃▃▄▄▅▅▆▆▇▇██"
    # Nothing was measured for a long time, so the level stays where it was.
    drawn = sparkline(np.array([0.0, 1.0, 15.0]), np.array([1.0, 2.0, 0.0]))
    assert drawn == "▅" + "█" * 14 + "▁"
    assert sparkline(np.array([5.0]), np.array([80.0])) == "▅" * 16
    assert sparkline(np.empty(0), np.empty(0)) == ""


@pytest.mark.parametrize(
    ("value", "unit", "reason", "expected", "words"),
    [
        (
            179.5, "kg", "unit_suspect", 81.2,
            "179.5 kg would be 81.42 if it was in lb, where 81.20 was expected",
        ),
        (5.5, "mg/dl", "unit_suspect", 99.0,
         "5.5 mg/dL would be 99.086 if it was in mmol/L, where 99.00 was expected"),
        # °F is another scale, and not a multiple: no mix-up that the filter looks for.
        (98.6, "Cel", "unit_suspect", 37.0, "98.6 °C, where 37.00 was expected"),
        (140.0, "kg", "outlier", 81.2, "140 kg, where 81.20 was expected"),
        (900.0, "kg", "out_of_range", math.nan, "900 kg: outside the profile's range"),
        (7.0, "{steps}", "too_late", math.nan, "7 steps: older than what is settled"),
    ],
)  # fmt: skip
def test_why_a_reading_was_rejected_is_said_in_words(value, unit, reason, expected, words):
    assert why_rejected(value, unit, reason, expected) == words
