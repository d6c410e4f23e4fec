"""Pages of a batch's results, and the cursors between them."""

import json
import time

import msgspec
import pytest

from kalmap.api.pages import _cursor, _Position
from kalmap.batch.folder import Folder
from kalmap.store.objects import Objects

BATCH, OTHER = "a" * 32, "b" * 32
SHARDS, LINES = 3, 5


def put_batch(api, batch_id, files=()):
    """A batch that has ended, with results in every shard."""
    folder = Folder(Objects(api.s3, api.bucket), f"batches/{batch_id}/e")
    plan = {"chunks": 1, "shards": SHARDS, "files": files}
    folder.objects.put(folder.key("plan.json"), msgspec.json.encode(plan))
    folder.objects.put(folder.key("round-0/shards.json"), b"[]")
    for shard in range(SHARDS):
        lines = [
            {"index": SHARDS * line + shard, "user_id": f"u-{shard}", "status": "accepted"}
            for line in range(LINES)
        ]
        body = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        folder.objects.put(folder.results_key(0, shard), body)
    record = {
        "batch_id": batch_id, "execution": "e", "prefix": folder.prefix, "status": "SUCCEEDED",
        "profile": "body-weight", "started_at": "2026-03-01T00:00:00Z",
    }  # fmt: skip
    item = {name: {"S": value} for name, value in record.items()}
    api.dynamodb.put_item(TableName=api.tables["BatchesTable"], Item=item)
    return folder.prefix


@pytest.fixture
def prefix(api):
    put_batch(api, OTHER, files=["as plans had them before objects shared a chunk"])
    return put_batch(api, BATCH)


def results(api, batch_id=BATCH, **query):
    route = "/batches/{batch_id}/results"
    return api.call("GET", route, path={"batch_id": batch_id}, query=query)


def test_pages_of_any_size_have_every_result_once(api, prefix):
    for limit in (1, 2, 4, 100):
        indices, cursor = [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = results(api, limit=str(limit), **more).body
            indices += [one["index"] for one in page["results"]]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert sorted(indices) == list(range(SHARDS * LINES))


def test_a_cursor_is_valid_only_for_its_own_list(api, prefix):
    cursor = results(api, limit="2").body["cursor"]
    assert results(api, cursor=cursor).status == 200
    for response in (
        results(api, OTHER, cursor=cursor),
        api.call("GET", "/batches", query={"cursor": cursor}),
        results(api, cursor=cursor[:-1]),
        results(api, cursor=cursor + "AAAA"),
        results(api, cursor="ktL_8L3A_w"),
    ):
        assert (response.status, response.body["field"]) == (400, "cursor")


def test_a_forged_cursor_is_refused_immediately(api, prefix):
    for shard in (-1000, -1, SHARDS, 2**62):
        began = time.monotonic()
        response = results(api, cursor=_cursor(_Position(shard, 0), prefix))
        assert (response.status, response.body["field"]) == (400, "cursor"), json.dumps(
            response.body
        )
        # A page that looked for the position one shard after the other would not end.
        assert time.monotonic() - began < 20


def test_unreadable_records_are_listed_for_a_batch_in_an_older_format(api, prefix):
    folder = Folder(Objects(api.s3, api.bucket), f"batches/{OTHER}/e")
    line = msgspec.json.encode({"index": 99, "user_id": None, "status": "invalid"})
    folder.objects.put(folder.results_key(0, 0), line)
    folder.save_lines("rejected", 0, 0, b'{"index":99}')
    for name in ("unreadable", "invalid"):
        assert [one["index"] for one in results(api, OTHER, status=name).body["results"]] == [99]
    links = api.call("GET", "/batches/{batch_id}", path={"batch_id": OTHER}).body["links"]
    assert [link.partition("?")[0].rpartition("/")[2] for link in links["unreadable"]] == [
        "0-000000.jsonl"
    ]
