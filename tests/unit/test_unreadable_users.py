"""Whose an unreadable record is: forgetting a user takes their records, and nobody else's."""

import json

import pytest

from kalmap_cli.operations.unreadable_users import may_be_of, users_by_index
from kalmap_cli.operations.without_user import rule_of_batch

KEY = "batches/b/a/unreadable/0-000000.jsonl"
ODD = ['q"uote', "a\\b", "zoë", "😀", "new\nline", "\x1b[31mred", "co,mma", "x/../y", "81"]


def lines(*excerpts):
    return b"".join(
        json.dumps({"index": index, "detail": "no number.", "excerpt": excerpt}).encode() + b"\n"
        for index, excerpt in enumerate(excerpts)
    )


@pytest.mark.parametrize("user", ODD)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_record_of_json_is_its_users_however_the_id_is_spelled(user, ascii_only):
    excerpt = json.dumps({"user_id": user, "value": "heavy"}, ensure_ascii=ascii_only)
    assert may_be_of(user, excerpt)
    assert may_be_of(user, excerpt[:-1])
    assert not may_be_of("heavy", excerpt)
    assert not may_be_of("heavy", excerpt[:-1])


@pytest.mark.parametrize("user", ["81", 81])
def test_a_user_whose_id_is_a_number_does_not_own_records_with_this_value(user):
    others = '{"user_id": "anna", "value": 81.5, "note": "81"}'
    assert not may_be_of("81", others)
    assert may_be_of("81", json.dumps({"user_id": user, "value": None}))


def test_a_row_that_does_not_say_whose_it_is_belongs_to_those_whom_it_names():
    assert may_be_of('q"u', '"q""u",2026-03-02T07:00:00Z,x')
    assert may_be_of("anna", "anna,2026-03-02,x")
    assert not may_be_of("anna", "anna-2,2026-03-02,x")


def test_the_results_say_whose_a_row_is_and_what_they_do_not_know_is_judged_by_its_text():
    data = lines("81,2026-03-02,x", "7,2026-03-02,81", "9,2026-03-02,81", "8,2026-03-02,1")
    known = {0: "81", 1: "7"}
    without = rule_of_batch(KEY, "81", 1, known.get)
    kept = [json.loads(line)["index"] for line in without(data, "81").splitlines()]
    assert kept == [1, 3]


def test_users_of_unreadable_records_are_those_of_the_results():
    results = [
        b'{"index":0,"user_id":"a","status":"accepted"}',
        b'{"index":1,"user_id":"a","status":"unreadable"}',
        b'{"index":2,"user_id":null,"status":"unreadable"}',
        b'{"index":3,"user_id":"unreadable","status":"accepted"}',
    ]
    assert users_by_index(results) == {1: "a"}
