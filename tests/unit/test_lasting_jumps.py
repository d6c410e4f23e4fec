"""A run of wrong readings is no jump there and back."""

import msgspec
import numpy as np
import pytest

from benchmarks.trials import simulators
from kalmap.profile import Jumps
from kalmap_cli.tuning.faults import fit_lasting_jumps
from tests.support.tuning import BASE, users_of

JUMPING = msgspec.structs.replace(BASE, jumps=Jumps(0.04, 8.0))


def test_jumps_that_only_runs_of_wrong_readings_speak_for_become_fewer():
    users = users_of(simulators.runs(5, 60).series.value)
    assert fit_lasting_jumps(JUMPING, users).jumps.share == pytest.approx(0.01)


def test_jumps_that_last_stay():
    # Every sixth reading the level jumps by 8 kg, and stays.
    random = np.random.default_rng(6)
    jumped = random.choice((-8.0, 8.0), (60, 48)) * (np.arange(48) % 6 == 3)
    value = 75.0 + np.cumsum(jumped, axis=1) + 0.4 * random.normal(size=(60, 48))
    assert fit_lasting_jumps(JUMPING, users_of(value)).jumps.share == 0.04


def test_few_jumps_stay_as_they_are():
    users = users_of(simulators.runs(5, 10).series.value)
    assert fit_lasting_jumps(BASE, users) is BASE
