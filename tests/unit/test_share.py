"""Shares of the users: a change goes to some of them first, and everybody is in one share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalmap.errors import InvalidInput
from kalmap.records.share import Share, check_share

PLACES = st.floats(0.1, 99.9)


@given(st.text(), PLACES, st.text(max_size=5))
def test_of_two_shares_that_meet_each_user_is_in_one(user, cut, salt):
    assert Share(0, cut, salt).has(user) != Share(cut, 100, salt).has(user)


@given(st.text(), PLACES, PLACES)
def test_a_larger_share_has_all_users_of_a_smaller_one(user, one, other):
    small, large = sorted((one, other))
    assert Share(0, large).has(user) or not Share(0, small).has(user)


def test_a_share_has_about_its_part_of_the_users_and_another_salt_others():
    users = [f"u-{number}" for number in range(4_000)]
    chosen, others = ({u for u in users if Share(0, 10, s).has(u)} for s in ("", "spring"))
    assert 340 < len(chosen) < 460
    assert 20 < len(chosen & others) < 65


def test_a_users_place_never_changes():
    # States of a roll-out in progress depend on it, also in later versions.
    users = ("anna", "ben", "cleo", "dora", "emil", "fritz", "gil", "hugo")
    assert [user for user in users if Share(0, 50).has(user)] == ["gil", "hugo"]
    assert [user for user in users if Share(0, 50, "spring").has(user)] == ["dora", "fritz"]


def test_records_that_name_nobody_are_in_one_share():
    assert [Share(*bounds).has(None) for bounds in ((0, 10), (10, 60), (60, 100))] == [
        False, False, True,
    ]  # fmt: skip
    assert Share(0, 50).has("\ud800") != Share(50, 100).has("\ud800")


@pytest.mark.parametrize(
    ("start", "end"), [(10, 10), (20, 10), (-1, 5), (0, 101), (float("nan"), 5)]
)
def test_a_share_that_is_no_part_of_the_users_is_refused(start, end):
    with pytest.raises(InvalidInput, match="a part of 0 to 100 percent"):
        check_share(Share(start, end))
