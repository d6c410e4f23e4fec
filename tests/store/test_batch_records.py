"""The table of batches, as the template has it: records found by id, and listed by their start."""

from datetime import UTC, datetime

import pytest

from kalmap.errors import BrokenRecord
from kalmap.store.dynamodb.batches import DynamoDBBatchStore
from kalmap.store.ports import BatchEnd, BatchRecord
from kalmap_cli.commands import status
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import RunFailed
from kalmap_cli.execution import PollIntervals
from kalmap_cli.listed_batches import find_batch
from kalmap_cli.stack import Stack
from tests.support.dynamodb import new_client
from tests.support.template import create_tables


@pytest.fixture
def records():
    client = new_client()
    return DynamoDBBatchStore(client, create_tables(client)["BatchesTable"])


def put(records, number, *, listed=True):
    item = {
        "batch_id": {"S": f"{number:032x}"},
        "execution": {"S": f"e-{number}"},
        "status": {"S": "RUNNING"},
        "prefix": {"S": f"batches/{number:032x}/e-{number}"},
        # Three start in each second.
        "started_at": {"S": f"2026-03-01T00:00:{number // 3:02d}Z"},
    }
    if listed:
        item |= {"listed": {"S": "batches"}, "expires_at": {"N": "1800000000"}}
    records._client.put_item(TableName=records._table, Item=item)


def ids(records):
    return [int(record.batch_id, 16) for record in records]


def test_pages_have_every_record_once_and_the_newest_first(records):
    for number in (4, 0, 7, 2, 6, 1, 5, 3):
        put(records, number)
    for limit in (1, 3, 8, 100):
        pages, after = [], None
        while True:
            page, after = records.page(limit, after)
            pages.append(page)
            if after is None:
                break
        assert all(len(page) <= limit for page in pages)
        listed = [one for page in pages for one in page]
        assert sorted(ids(listed)) == list(range(8))
        starts = [record.started_at for record in listed]
        assert starts == sorted(starts, reverse=True)


def test_a_batch_added_while_pages_are_read_moves_no_other(records):
    for number in range(6):
        put(records, number)
    first, after = records.page(3)
    put(records, 30)
    second, _ = records.page(3, after)
    assert sorted(ids(first) + ids(second)) == list(range(6))


def test_a_record_older_than_the_list_is_found_only_by_its_id(records):
    put(records, 1, listed=False)
    put(records, 2)
    assert ids(records.newest()) == [2]
    assert records.get(f"{1:032x}").execution == "e-1"
    assert records.release("e-1", "It was stopped.", datetime(2026, 3, 2, tzinfo=UTC)) == [
        f"{1:032x}"
    ]


def test_a_record_contains_the_outcome_of_its_batch(records):
    put(records, 1)
    identity = f"{1:032x}"
    end = BatchEnd(
        status="FAILED",
        reason="It broke.",
        summary="s.json",
        finished_at=datetime(2026, 3, 2, tzinfo=UTC),
        received=9,
        accepted=8,
        users=3,
        changed=2,
    )
    assert not records.finish(identity, "e-2", end)
    assert records.finish(identity, "e-1", end)
    assert records.get(identity) == BatchRecord(
        batch_id=identity,
        status="FAILED",
        execution="e-1",
        prefix=f"batches/{identity}/e-1",
        started_at="2026-03-01T00:00:00Z",
        finished_at="2026-03-02T00:00:00Z",
        reason="It broke.",
        summary="s.json",
        received=9,
        accepted=8,
        users=3,
        changed=2,
    )


def break_record(records, number):
    records._client.update_item(
        TableName=records._table,
        Key={"batch_id": {"S": f"{number:032x}"}},
        UpdateExpression="REMOVE prefix, #status",
        ExpressionAttributeNames={"#status": "status"},
    )


def test_a_record_without_its_folder_is_broken(records):
    put(records, 1)
    break_record(records, 1)
    with pytest.raises(BrokenRecord, match="0001 is broken: it has no status and no prefix"):
        records.get(f"{1:032x}")


def test_a_broken_record_is_listed_among_the_others(records):
    for number in range(3):
        put(records, number)
    break_record(records, 1)
    listed = {batch.batch_id: batch for batch in records.newest()}
    assert sorted(ids(listed.values())) == [0, 1, 2]
    broken = listed.pop(f"{1:032x}")
    assert not isinstance(broken, BatchRecord)
    assert (broken.status, broken.started_at) == ("BROKEN", "2026-03-01T00:00:00Z")
    assert "has no status and no prefix" in broken.reason
    assert {batch.status for batch in listed.values()} == {"RUNNING"}


def test_kalmap_status_prints_a_broken_record_and_the_others(records, capsys):
    put(records, 1)
    put(records, 16)
    break_record(records, 1)
    clients = {"dynamodb": records._client, "s3": None}
    stack = Stack("", "work", "", records._table)
    deployment = Deployment(clients.get, stack, PollIntervals(0.1, 0.1), "")
    status.print_list(deployment)
    printed = capsys.readouterr().out.splitlines()
    [broken] = [line for line in printed if " broken " in line]
    assert "has no status and no prefix. Delete the record" in broken
    assert any(" running " in line for line in printed)
    with pytest.raises(RunFailed, match="has no status and no prefix"):
        find_batch(deployment, f"{1:032x}"[:31])
    with pytest.raises(RunFailed, match="has no status and no prefix"):
        find_batch(deployment, f"{1:032x}")
