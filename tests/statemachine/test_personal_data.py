"""Personal data are in those tables and folders that docs/security.md names, and in no other."""

import gzip
import re
from base64 import b64decode

import pytest

from kalmap import keys
from tests.support.api_function import Api
from tests.support.moto_engine import WORK
from tests.support.security_page import stored
from tests.support.statemachine_batches import batch

USER, VALUE = "someone-private", 81.73519
PERSONAL = stored(2)
#: A reading as text, or as the bytes of a column.
MARKS = (USER.encode(), str(VALUE).encode())


def readings(day):
    return [
        {"user_id": f"{USER}-{n}", "timestamp": f"2026-03-{day:02d}T07:00:00Z", "value": VALUE}
        for n in range(12)
    ]


def marked(content):
    return any(mark in content for mark in MARKS)


def objects(s3, bucket):
    """The folder and the content of each object."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for item in (item for page in pages for item in page.get("Contents", ())):
        body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
        yield item["Key"].partition("/")[0] + "/", body


def items(dynamodb, tables):
    """The name of its table, and the content, of each item; packed texts also unpacked."""
    for name, table in tables.items():
        for item in dynamodb.scan(TableName=table)["Items"]:
            content = repr(item)
            packed = re.findall(r"H4sI[\w+/]+=*", content)
            yield name, content.encode() + b"".join(gzip.decompress(b64decode(p)) for p in packed)


@pytest.fixture
def found(engine, monkeypatch):
    """Each table and folder that has something, and whether it has a marked user or value."""
    engine.run(batch(engine.put("incoming/a.jsonl", [*readings(1), {"user_id": USER}])))
    engine.run(batch({"records": readings(2)}))
    places = [*objects(engine.s3, WORK), *items(engine.dynamodb, engine.tables)]
    api = Api(monkeypatch)
    api.post(readings(3), idempotency_key="a-key")
    places += [*objects(api.s3, api.bucket), *items(api.dynamodb, api.tables)]
    return {
        name: any(marked(content) for other, content in places if other == name)
        for name in {name for name, _ in places}
    }


def test_the_page_on_security_says_which_tables_and_folders_have_personal_data(found):
    assert {"StatesTable", "BatchesTable", "IdempotencyTable"} <= set(found)
    assert {keys.BATCHES, keys.INCOMING, keys.INLINE, keys.PROFILES} <= set(found)
    assert {name for name, has in found.items() if has} == {
        name for name in found if "user ids" in PERSONAL[name]
    }
