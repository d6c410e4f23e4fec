"""States of format 1, as kalmap 0.1 wrote them, are carried over.

format_one_states.json has such states, and what kalmap 0.1 said of each.
"""

import json
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

from kalmap.filter import codec
from kalmap.filter.columns import WEIGHT, Kind
from kalmap.filter.estimates import describe
from kalmap.filter.fold import fold_users
from kalmap.filter.layout import FORMAT
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile, digest
from tests.support.histories import DAY, NOW, Reading, columns

PROFILE = builtin_profile("body-weight")
STATES = json.loads(Path(__file__).with_name("format_one_states.json").read_bytes())
BODIES = [b64decode(state["body"]) for state in STATES]


def _decode(bodies):
    return codec.decode(bodies, digest(PROFILE), adopt=True)


def test_checkpoints_windows_and_candidates_are_carried_over():
    states = _decode([*BODIES, None])
    assert not states.failure.any()
    assert states.foreign.tolist() == [True] * len(BODIES) + [False]
    assert states.counts.tolist() == [*(state["window"] for state in STATES), 0]
    checkpoints = states.checkpoints
    for user, state in enumerate(STATES):
        exists = state["checkpoint_time"] is not None
        assert checkpoints.exists[user] == exists
        assert checkpoints.scale[user] == 1.0
        others, kinds = checkpoints.others[:, :, user], checkpoints.kinds[:, user].tolist()
        if exists:
            assert checkpoints.time[user] == state["checkpoint_time"]
            assert checkpoints.estimate[0, user] == state["checkpoint_level"]
        if state["agreeing"]:
            assert kinds == [Kind.WRONG, Kind.GOOD, Kind.GOOD]
            assert others[0, 0] == state["candidate_level"]
            assert checkpoints.last[user] == pytest.approx(state["candidate_level"], rel=1e-7)
            expected = 0.1 if state["agreeing"] == 1 else 0.3
            assert others[0, WEIGHT] == pytest.approx(expected, rel=0.01)
            assert not others[1].any()
        else:
            assert kinds == [Kind.GOOD] * 3
            assert not others.any()
            assert checkpoints.last[user] == 0.0
    assert {state["agreeing"] for state in STATES} == {0, 1, 2}


def test_a_carried_over_state_is_described_at_its_newest_reading():
    for state, body in zip(STATES, BODIES, strict=True):
        view = describe(body, PROFILE)
        assert view.as_of == state["as_of"]
        assert view.window == state["window"]
        # The other filter and the other noises make a small difference.
        assert view.level == pytest.approx(state["level"], abs=0.3)


def test_new_readings_continue_adopted_states_in_the_new_format():
    late = {user: state["as_of"] + DAY for user, state in enumerate(STATES)}
    readings = columns([(user, Reading(time, 1, 500, 80.0, 3)) for user, time in late.items()])
    refused = fold_users(PROFILE, BODIES, readings, NOW)
    assert (refused.decisions.reason == Reason.PROFILE_CHANGED).all()
    adopted = fold_users(PROFILE, BODIES, readings, NOW, adopt_profile=True)
    assert not adopted.users.failure.any(), adopted.errors
    assert not adopted.decisions.reason.any()
    bodies = list(adopted.bodies)
    assert [body[0] for body in bodies] == [FORMAT] * len(bodies)
    states = codec.decode(bodies, digest(PROFILE))
    assert not states.failure.any()
    assert states.counts.tolist() == [min(state["window"] + 1, 24) for state in STATES]
    again = fold_users(PROFILE, bodies, readings, NOW)
    assert set(again.decisions.reason.tolist()) == {Reason.DUPLICATE}


def test_states_of_both_formats_are_read_side_by_side():
    fresh = fold_users(
        PROFILE, [None], columns([(0, Reading(NOW - DAY, 1, 1, 71.0, 3))]), NOW
    ).bodies[0]
    states = _decode([fresh, BODIES[3], None, fresh])
    alone = _decode([BODIES[3]])
    assert not states.failure.any()
    assert states.counts.tolist() == [1, alone.counts[0], 0, 1]
    assert states.entries.value.tolist() == [71.0, *alone.entries.value.tolist(), 71.0]


@pytest.mark.parametrize("body", BODIES, ids=[state["name"] for state in STATES])
def test_a_broken_one_is_refused_wherever_it_is_broken(body):
    broken = [body[:at] + bytes([body[at] ^ 0x24]) + body[at + 1 :] for at in range(len(body))]
    broken += [body[:cut] for cut in range(len(body))]
    broken += [body + bytes(24), body + body]
    states = _decode(broken)
    assert (states.failure == Reason.CORRUPT_STATE).all(), np.flatnonzero(states.failure == 0)
