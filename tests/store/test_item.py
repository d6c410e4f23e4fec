import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalmap.store.dynamodb.item import key, stored_state, user_state, values, version_token
from kalmap.store.ports import Change, StoredState

U64 = st.integers(1, 2**64 - 1)
BODIES = st.binary(max_size=700)


@st.composite
def states(draw):
    tokens = tuple(draw(st.lists(U64, min_size=1, max_size=4)))
    return StoredState(tokens[0], draw(BODIES), tokens)


def change(body=b"body", old=None, level=81.4, slope=-0.01, as_of=1_772_345_520_000_001):
    return Change("u-17", old, body, level, slope, as_of)


@given(body=BODIES, token=U64, old=st.none() | states())
def test_a_written_state_reads_back_with_its_token_before_the_last_three(body, token, old):
    item = values(change(body, old), token)
    older = old.tokens[:3] if old else ()
    assert stored_state(item) == StoredState(token, body, (token, *older))
    assert len(item["state"]["B"]) == len(body) + 32


@given(body=BODIES, token=U64, data=st.data())
def test_a_truncated_state_is_returned_unchanged_as_body_without_tokens(body, token, data):
    item = values(change(body), token)
    encoded = item["state"]["B"]
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    stored = stored_state({**item, "state": {"B": cut}})
    # The tokens stand at the end, so that a cut takes them first.
    assert stored.tokens == () or cut.endswith(encoded[-32:])
    if not stored.tokens:
        assert stored == StoredState(token, cut, ())


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"state": {"S": "text"}},
        {"state": {"NULL": True}, "version": {"N": "5"}},
        {"version": {"S": "5"}},
        {"version": {"N": "1.5"}},
        {"version": {"N": "-1"}},
    ],
)
def test_a_foreign_item_has_an_empty_body_and_no_tokens(item):
    stored = stored_state(item)
    assert (stored.body, stored.tokens) == (b"", ())
    assert stored.version in {0, 5}


def test_a_state_under_a_version_that_is_not_its_newest_token_is_foreign():
    item = {**values(change(), 7), "version": {"N": "8"}}
    assert stored_state(item) == StoredState(8, item["state"]["B"], ())


@given(level=st.floats(), slope=st.floats())
def test_every_level_and_slope_becomes_a_number_that_the_table_takes_or_null(level, slope):
    for name, value in (("level", level), ("slope", slope)):
        attribute = values(change(level=level, slope=slope), 1)[name]
        if "NULL" in attribute:
            assert not math.isfinite(value) or abs(value) > 9e125
        else:
            number = float(attribute["N"])
            # Seven digits.
            assert abs(number - value) <= 1e-6 * abs(value) or (number == 0 and abs(value) < 1e-130)


def test_numbers_of_numpy_are_written_like_those_of_python():
    item = values(change(level=np.float64(81.4), as_of=np.int64(1_772_345_520_000_001)), 1)
    assert item["level"] == {"N": "81.4"}
    assert item["as_of"] == {"S": "2026-03-01T06:12:00.000001Z"}


@given(as_of=st.integers(-60_000_000_000_000_000, 250_000_000_000_000_000))
def test_the_readable_time_reads_back_to_the_microsecond(as_of):
    item = {**key("u", "p"), **values(change(as_of=as_of), 1)}
    assert item["as_of"]["S"].endswith("Z")
    assert user_state(item).as_of == as_of


def test_level_slope_and_time_are_none_if_they_cannot_be_read():
    broken = {"level": {"S": "x"}, "as_of": {"S": "soon"}}
    state = user_state({**key("u", "p"), **broken})
    assert (state.level, state.slope, state.as_of) == (None, None, None)


def test_the_token_of_a_write_depends_on_batch_attempt_round_user_and_old_version():
    old = StoredState(5, b"", (5,))
    tokens = [
        version_token("b", "a", 0, "u", None),
        version_token("B", "a", 0, "u", None),
        version_token("b", "A", 0, "u", None),
        version_token("b", "a", 1, "u", None),
        version_token("b", "a", 0, "U", None),
        version_token("b", "a", 0, "u", old),
        version_token("b", "a", 0, "u", old._replace(version=0)),
        # Parts do not run into each other.
        version_token("ba", "", 0, "u", None),
    ]
    assert len(set(tokens)) == len(tokens)
    assert all(0 < token < 2**64 for token in tokens)
    assert version_token("b", "a", 0, "u", old._replace(body=b"x")) == tokens[5]
