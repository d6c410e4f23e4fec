"""A broken state or a pathological user fails alone, with a reason, and without a warning."""

import warnings

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.errors import InvalidInput
from kalmap.filter import codec, forward
from kalmap.filter.estimates import describe
from kalmap.filter.fold import fold_users
from kalmap.outcome import Reason, Status
from kalmap.profile import Window, builtin_profile, digest
from tests.support.histories import (
    DAY,
    NOW,
    START,
    Reading,
    assert_same_results,
    columns,
    histories,
)

PROFILE = msgspec.structs.replace(builtin_profile("body-weight"), window=Window(4, 60.0))
HISTORY = [
    Reading(START + i * DAY, 1, i, 80.0 + 0.1 * (i % 3) + 20.0 * (i == 8), 3) for i in range(9)
]
NEXT = [Reading(START + (20 + i) * DAY, 1, 100 + i, 80.0, 3) for i in range(2)]


def _body(history=HISTORY) -> bytes:
    return fold_users(PROFILE, [None], columns([(0, r) for r in history]), NOW).bodies[0]


def _with_a_broken_one(broken: bytes, users: int = 41, **options):
    bodies = [_body()] * users
    bodies[17] = broken
    readings = columns([(user, reading) for user in range(users) for reading in NEXT])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fold_users(PROFILE, bodies, readings, NOW, **options), readings


def _only_user_17_fails(folded, readings, reason: Reason) -> None:
    theirs = readings.user == 17
    assert (folded.decisions.reason[theirs] == reason).all()
    assert (folded.decisions.status[theirs] == Status.FAILED).all()
    assert np.isnan(folded.decisions.level[theirs]).all()
    assert folded.users.failure.tolist() == [reason if user == 17 else 0 for user in range(41)]
    assert folded.bodies[17] is None
    assert not folded.users.changed[17]
    alone = fold_users(PROFILE, [_body()], columns([(0, r) for r in NEXT]), NOW)
    for user in set(range(41)) - {17}:
        assert_same_results(folded, alone, readings.user == user)
        assert folded.bodies[user] == alone.bodies[0]


SOUND = _body()


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=800),
        st.integers(0, len(SOUND) - 1).map(lambda cut: SOUND[:cut]),
        st.binary(min_size=1, max_size=40).map(lambda more: SOUND + more),
        st.tuples(st.integers(0, len(SOUND) - 1), st.integers(1, 255)).map(
            lambda flip: SOUND[: flip[0]] + bytes([SOUND[flip[0]] ^ flip[1]]) + SOUND[flip[0] + 1 :]
        ),
    )
)
def test_a_corrupt_state_fails_its_user_only(broken):
    folded, readings = _with_a_broken_one(broken)
    _only_user_17_fails(folded, readings, Reason.CORRUPT_STATE)


def _altered(checkpoint=None, entries=None) -> bytes:
    """A state with right format and checksum, but content that no fold writes."""
    state = codec.decode([SOUND], digest(PROFILE))
    checkpoints = state.checkpoints._replace(
        **{name: np.array(value) for name, value in (checkpoint or {}).items()}
    )
    window = state.entries
    for name, value in (entries or {}).items():
        old = getattr(window, name)
        window = window._replace(**{name: np.array(value).astype(old.dtype)})
    return codec.encode(checkpoints, state.counts, window, digest(PROFILE))[0]


BAD = np.array([[80.0], [0.0], [1.0], [0.5], [1.0]])


def _estimate(row: int, number: float) -> np.ndarray:
    estimate = BAD.copy()
    estimate[row] = number
    return estimate


def _others(level=80.0, p00=1.0, weight=0.5) -> np.ndarray:
    others = np.zeros((2, 6, 1))
    others[0, :, 0] = level, 0.0, p00, 0.5, 1.0, weight
    return others


DAYS = START + DAY * np.arange(5, 9)


@pytest.mark.parametrize(
    ("checkpoint", "entries"),
    [
        ({"estimate": _estimate(0, np.nan)}, {}),
        ({"estimate": _estimate(1, np.inf)}, {}),
        ({"estimate": _estimate(0, 1e308)}, {}),
        ({"estimate": _estimate(2, -1.0)}, {}),
        ({"estimate": _estimate(3, 2.0)}, {}),
        ({"estimate": _estimate(4, -1e-9)}, {}),
        ({"estimate": np.zeros((5, 1))}, {}),
        ({"others": _others(level=np.nan)}, {}),
        ({"others": _others(p00=-1.0)}, {}),
        ({"others": _others(weight=0.0)}, {}),
        ({"others": _others(weight=2.0)}, {}),
        ({"others": _others()[::-1]}, {}),
        ({"kinds": np.array([[3], [0], [0]], np.uint8)}, {}),
        ({"kinds": np.array([[0], [1], [0]], np.uint8)}, {}),
        ({"scale": np.zeros(1)}, {}),
        ({"scale": np.array([np.nan])}, {}),
        ({"last": np.array([np.inf])}, {}),
        ({"exists": np.zeros(1, np.bool_)}, {}),
        ({"time": np.array([START + 6 * DAY])}, {}),
        ({"time": np.array([START + 5 * DAY]), "hash": np.array([5], np.uint64)}, {}),
        ({}, {"value": [80.0, np.nan, 80.0, 80.0]}),
        ({}, {"value": [80.0, np.inf, 80.0, 80.0]}),
        ({}, {"flags": [0, 8, 0, 0]}),
        ({}, {"time": DAYS[[1, 0, 2, 3]]}),
        ({}, {"time": DAYS[[0, 0, 2, 3]], "hash": [5, 5, 7, 8]}),
        ({}, {"time": DAYS[[0, 0, 2, 3]], "hash": [6, 5, 7, 8]}),
    ],
)
def test_a_state_that_no_fold_can_produce_is_corrupt(checkpoint, entries):
    folded, readings = _with_a_broken_one(_altered(checkpoint, entries))
    _only_user_17_fails(folded, readings, Reason.CORRUPT_STATE)


def test_a_sound_state_with_nothing_altered_stays_the_same():
    assert _altered() == SOUND


def test_a_state_of_another_profile_fails_unless_adopted():
    other = msgspec.structs.replace(PROFILE, level_noise=9.0)
    body = fold_users(other, [None], columns([(0, r) for r in HISTORY]), NOW).bodies[0]
    folded, readings = _with_a_broken_one(body)
    _only_user_17_fails(folded, readings, Reason.PROFILE_CHANGED)
    adopted, _ = _with_a_broken_one(body, adopt_profile=True)
    assert not adopted.users.failure.any()
    assert codec.profile_digest_of(adopted.bodies[17]) == digest(PROFILE)


def test_a_user_whose_filter_raises_fails_alone(monkeypatch):
    real = forward.transition

    def cannot_bear_one_gap(profile, gap, out):
        if (gap == 3.0).any():
            raise FloatingPointError("three days")
        return real(profile, gap, out)

    monkeypatch.setattr(forward, "transition", cannot_bear_one_gap)
    readings = columns(
        [(u, r) for u in range(41) for r in (HISTORY[0], HISTORY[3 if u == 17 else 2])]
    )
    folded = fold_users(PROFILE, [None] * 41, readings, NOW)
    assert np.flatnonzero(folded.users.failure).tolist() == [17]
    assert folded.users.failure[17] == Reason.USER_FAILED
    assert set(folded.errors) == {17}
    assert "three days" in folded.errors[17]
    assert (folded.decisions.reason[readings.user == 17] == Reason.USER_FAILED).all()
    assert (folded.decisions.reason[readings.user != 17] == Reason.NONE).all()


def test_an_estimate_that_overflows_fails_its_user_alone(monkeypatch):
    real = forward.transition

    def explodes_after_three_days(profile, gap, out):
        step = real(profile, gap, out)
        step.q00[gap == 3.0] = np.inf
        return step

    monkeypatch.setattr(forward, "transition", explodes_after_three_days)
    readings = columns(
        [(u, r) for u in range(41) for r in (HISTORY[0], HISTORY[3 if u == 17 else 2])]
    )
    folded = fold_users(PROFILE, [None] * 41, readings, NOW)
    assert np.flatnonzero(folded.users.failure).tolist() == [17]
    assert np.isfinite(folded.decisions.level[readings.user != 17]).all()


@settings(max_examples=60, deadline=None)
@given(
    histories(most=10),
    st.lists(
        st.sampled_from([np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0, 1e16]),
        min_size=1, max_size=5,
    ),
)  # fmt: skip
def test_impossible_values_are_out_of_range_without_a_warning(history, values):
    odd = [Reading(START + 13 * i, 1, 77 + i, v, 0) for i, v in enumerate(values)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folded = fold_users(PROFILE, [None], columns([(0, r) for r in history + odd]), NOW)
    assert (folded.decisions.reason[len(history) :] == Reason.OUT_OF_RANGE).all()


def test_a_reading_of_a_user_without_a_body_raises_value_error():
    with pytest.raises(ValueError, match="outside"):
        fold_users(PROFILE, [None], columns([(1, HISTORY[0])]), NOW)


def test_describing_a_broken_state_raises_invalid_input():
    with pytest.raises(InvalidInput, match="not sound"):
        describe(SOUND[:-1], PROFILE)
