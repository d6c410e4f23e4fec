"""The stored state: its size, its bytes, its description and predictions."""

import msgspec
import numpy as np
import pytest

from kalmap.errors import InvalidInput
from kalmap.filter import codec
from kalmap.filter.bodies import ENTRY_BYTES, HEADER_BYTES
from kalmap.filter.columns import WEIGHT
from kalmap.filter.estimates import describe, predict
from kalmap.filter.fold import fold_users
from kalmap.outcome import Reason
from kalmap.profile import MAX_NAME, Window, builtin_profile, digest
from tests.support.histories import DAY, NOW, START, Reading, columns

PROFILE = builtin_profile("body-weight")
SMALL = msgspec.structs.replace(PROFILE, window=Window(2, 60.0))


def _history(n, wild=()):
    return [
        Reading(START + i * DAY, 0, i, 80.0 + (15.0 if i in wild else 0.0), 3) for i in range(n)
    ]


def _body(history):
    return fold_users(PROFILE, [None], columns([(0, r) for r in history]), NOW).bodies[0]


def test_the_largest_item_stays_within_one_write_unit():
    body = _body(_history(100))
    assert len(body) == HEADER_BYTES + 24 * ENTRY_BYTES
    # DynamoDB counts names and values; a number takes a byte per two digits and one or two more.
    names = len("user_idprofileversionlevelslopeas_ofstate")
    # A version of 20 digits, level and slope of seven, both negative.
    numbers = 11 + 2 * 6
    as_of = len("2026-03-01T07:12:00.000000+00:00")
    assert names + 128 + MAX_NAME + numbers + as_of + len(body) + 4 * 8 <= 1024


@pytest.mark.parametrize("size", [1, 2, 23, 24, 25, 60])
def test_decoding_and_encoding_gives_the_same_bytes(size):
    bodies = [_body(_history(size, wild={size - 1})), _body(_history(3)), _body(_history(24))]
    state = codec.decode(bodies, digest(PROFILE))
    assert not state.failure.any()
    assert codec.encode(state.checkpoints, state.counts, state.entries, digest(PROFILE)) == bodies


@pytest.fixture
def open_question():
    """A body of a user with a small window and three hypotheses at the checkpoint."""
    values = [80.0] * 6 + [95.0, 95.2, 60.0, 95.0, 60.1]
    history = [Reading(START + i * DAY, 0, i, value, 3) for i, value in enumerate(values)]
    return fold_users(SMALL, [None], columns([(0, r) for r in history]), NOW).bodies[0]


def test_a_checkpoint_with_an_open_question_is_the_same_bytes_after_decoding(open_question):
    state = codec.decode([open_question], digest(SMALL))
    assert (state.checkpoints.others[:, WEIGHT, 0] > 0.0).all()
    assert state.checkpoints.kinds[:, 0].any()
    again = codec.encode(state.checkpoints, state.counts, state.entries, digest(SMALL))
    assert again == [open_question]


def test_a_change_of_any_byte_is_found(open_question):
    for change in (0x01, 0x80, 0xFF):
        broken = [
            open_question[:at] + bytes([byte ^ change]) + open_question[at + 1 :]
            for at, byte in enumerate(open_question)
        ]
        failure = codec.decode(broken, digest(SMALL), adopt=True).failure
        assert (failure == Reason.CORRUPT_STATE).all(), np.flatnonzero(failure == 0)


def test_a_new_user_decodes_to_an_empty_state():
    state = codec.decode([None, None], digest(PROFILE))
    assert state.counts.tolist() == [0, 0]
    assert not state.checkpoints.exists.any()
    assert not state.failure.any()


def test_a_state_is_described_in_readable_fields():
    view = describe(_body(_history(30, wild={29})), PROFILE)
    assert view.profile_digest == digest(PROFILE).hex()
    assert view.level == pytest.approx(80.0, abs=3.0)
    assert view.level_sd > PROFILE.measurement_noise
    assert view.noise < PROFILE.measurement_noise
    assert view.as_of == START + 29 * DAY
    assert (view.window, view.rejected) == (24, 1)
    assert view.checkpoint_time == START + 5 * DAY
    assert view.checkpoint_level == pytest.approx(80.0)
    assert view.other_level == pytest.approx(95.0, abs=0.5)
    assert 0.0 < view.other_share < 0.5


def test_a_young_state_has_no_checkpoint_and_one_hypothesis():
    view = describe(_body(_history(3)), PROFILE)
    assert view.checkpoint_time is None
    assert view.checkpoint_level is None
    assert 0.0 < view.level_sd < PROFILE.measurement_noise
    assert (view.other_level, view.other_share) == (None, 0.0)


def test_a_prediction_moves_the_level_along_the_slope_and_widens():
    rising = [Reading(START + i * DAY, 0, i, 80.0 + 0.1 * i, 3) for i in range(60)]
    body = _body(rising)
    view = describe(body, PROFILE)
    now = predict(PROFILE, body, view.as_of)
    assert now == (view.level, view.level_sd, view.slope)
    later = predict(PROFILE, body, view.as_of + 10 * DAY)
    assert view.level < later[0] < view.level + 10.0 * view.slope
    assert later[1] > view.level_sd
    assert later[2] == pytest.approx(view.slope * np.exp(-PROFILE.slope_damping * 10.0))


def test_a_prediction_is_the_level_that_the_fold_expects_of_a_reading_at_that_time():
    random = np.random.default_rng(4)
    for days in random.uniform(0.0, 90.0, 50).tolist():
        history = [
            Reading(START + i * DAY, 0, i, 80.0 + value, 3)
            for i, value in enumerate(random.normal(0.0, 0.5, 30).tolist())
        ]
        body = _body(history)
        reading = Reading(history[-1].time + int(days * DAY), 1, 0, 80.0, 3)
        folded = fold_users(PROFILE, [body], columns([(0, reading)]), NOW)
        # While a question is open the fold moves each hypothesis, and a prediction their mixture.
        level = predict(PROFILE, body, reading.time)[0]
        assert level == pytest.approx(folded.decisions.predicted[0], rel=1e-13)


def test_a_prediction_of_the_past_is_refused():
    body = _body(_history(3))
    with pytest.raises(InvalidInput, match="at or after"):
        predict(PROFILE, body, START)
