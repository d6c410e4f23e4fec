"""Scans of tables on the local cloud: they answer as ministack does, and cost what they read."""

import json

import pytest
from ministack.services import dynamodb

from kalmap_cli.local.emulator import table_scans

USERS = [f"u-{n * 37 % 101:03d}" for n in range(101)]


@pytest.fixture
def table():
    before = dict(dynamodb._tables._data)
    keys = ("user_id", "HASH"), ("profile", "RANGE")
    dynamodb._create_table({
        "TableName": "scans", "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
    })  # fmt: skip
    for user in USERS:
        for profile in ("b", "a"):
            item = {"user_id": {"S": user}, "profile": {"S": profile}, "text": {"S": 9_000 * "x"}}
            dynamodb._put_item({"TableName": "scans", "Item": item})
    yield dynamodb._tables.get("scans")
    dynamodb._tables._data.clear()
    dynamodb._tables._data.update(before)


def pages(scan, **more):
    request = {"TableName": "scans", "ConsistentRead": True, **more}
    while True:
        _, _, body = scan(request)
        yield body
        answer = json.loads(body)
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


@pytest.mark.parametrize(
    "more",
    [
        {}, {"Limit": 7}, {"ReturnConsumedCapacity": "TOTAL"}, {"Limit": 50, "Select": "COUNT"},
        {"Limit": 0}, {"ExclusiveStartKey": {"user_id": {"S": "u-050"}}},
        {"ExclusiveStartKey": {"user_id": {"S": "u-050a"}, "profile": {"S": "a"}}},
        {"TableName": "nothing"},
    ],
)  # fmt: skip
def test_every_page_of_a_scan_is_that_of_ministack(table, more):
    assert [*pages(table_scans.scan, **more)] == [*pages(dynamodb._scan, **more)]


def test_a_page_looks_at_no_item_before_its_key(table):
    last = {"user_id": {"S": "u-099"}, "profile": {"S": "b"}}
    for user in USERS:
        if user <= "u-098":
            table["items"][user] = None
    [page] = pages(table_scans.scan, ExclusiveStartKey=last)
    assert [item["user_id"]["S"] for item in json.loads(page)["Items"]] == ["u-100", "u-100"]
