"""Items of tables on the local cloud: copied quickly, and not at all when they are saved."""

import copy
import json
from collections import defaultdict

import pytest
from ministack.core import persistence
from ministack.services import dynamodb

from kalmap_cli.local.emulator import item_copies

ITEM = {"user_id": {"S": "u"}, "list": {"L": [{"N": "1"}, {"M": {"a": {"BOOL": True}}}]}}


class CountedCopies:
    """The module copy; counts calls of deepcopy."""

    def __init__(self):
        self.calls = 0

    def deepcopy(self, value):
        self.calls += 1
        return copy.deepcopy(value)


@pytest.fixture
def table(monkeypatch):
    """A table with an item, in a ministack whose module of tables can be changed."""
    monkeypatch.setattr(dynamodb, "copy", dynamodb.copy)
    before = dict(dynamodb._tables._data)
    keys = [{"AttributeName": "user_id", "KeyType": "HASH"}]
    attributes = [{"AttributeName": "user_id", "AttributeType": "S"}]
    dynamodb._create_table({
        "TableName": "copies", "KeySchema": keys, "AttributeDefinitions": attributes,
        "BillingMode": "PAY_PER_REQUEST",
    })  # fmt: skip
    dynamodb._put_item({"TableName": "copies", "Item": ITEM})
    yield dynamodb._tables.get("copies")
    dynamodb._tables._data.clear()
    dynamodb._tables._data.update(before)


@pytest.mark.parametrize("value", [ITEM, "text", 5, None, b"bytes", [ITEM, [ITEM]], {1: (ITEM,)}])
def test_a_copy_is_equal_and_shares_nothing_that_can_change(value):
    made = item_copies.copied(value)
    assert made == value
    assert type(made) is type(value)
    if value is ITEM:
        made["list"]["L"][1]["M"]["a"]["BOOL"] = False
        assert ITEM["list"]["L"][1]["M"]["a"]["BOOL"]


def test_a_dictionary_of_another_class_stays_one():
    made = item_copies.copied({"items": defaultdict(dict, u={"a": ITEM})})
    assert made["items"]["new"] == {}
    assert made["items"]["u"]["a"] is not ITEM


def test_what_is_saved_is_not_copied_and_is_the_same_json(table, monkeypatch):
    """If the first assertion fails, ministack copies nothing, and `without_copies` is needless."""
    counted = CountedCopies()
    monkeypatch.setattr(dynamodb, "copy", counted)
    expected = json.dumps(dynamodb.get_state(), default=persistence._json_default)
    assert counted.calls > 1
    item_copies.install()
    with item_copies.without_copies():
        state = dynamodb.get_state()
        assert json.dumps(state, default=persistence._json_default) == expected
        [saved] = [t for key, t in state["tables"]._data.items() if key[-1] == "copies"]
        assert saved["items"] is table["items"]
    [copied] = [t for key, t in dynamodb.get_state()["tables"]._data.items() if key[-1] == "copies"]
    assert copied["items"]["u"] is not table["items"]["u"]


def test_an_update_that_is_refused_leaves_the_item_as_it_was(table):
    """An update works on a copy. If the first assertion fails, it needs none any more."""
    counted = CountedCopies()
    text = 'UPDATE "copies" SET "list" = ? SET "list"[7]."x" = ? WHERE "user_id" = ?'
    update = {"Statement": text, "Parameters": [{"S": "new"}, {"S": "x"}, {"S": "u"}]}
    dynamodb.copy = counted
    expected = dynamodb._execute_statement(update)
    assert counted.calls == 2
    item_copies.install()
    assert dynamodb._execute_statement(update) == expected
    assert expected[0] == 400
    assert dynamodb._get_item({"TableName": "copies", "Key": {"user_id": {"S": "u"}}})[2] == (
        json.dumps({"Item": ITEM}).encode()
    )
