"""The state machine itself: the states that run, what they write, and who is in the next round."""

import json
from datetime import datetime, timedelta

import pytest

from kalmap.batch.identity import MAX_CONFLICT_ROUNDS
from kalmap.store.dynamodb.batches import DynamoDBBatchStore
from tests.support.statemachine_batches import (
    assert_accounts_for_all,
    batch,
    counts,
    other_writer,
    readings,
)


def test_a_batch_passes_every_state_and_accounts_for_every_reading(engine):
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert ended["status"] == "SUCCEEDED"
    assert engine.entered(ended["executionArn"]) == [
        "IdentifyBatch", "ClaimBatch", "PlanBatch", "PartitionMeasurements", "PlanShards",
        "LoadStates", "FilterUsers", "AggregateResults", "CommitAllowed", "WriteStates",
        "CollectWrites", "AnyConflicts", "CompleteBatch", "PublishCompletion", "BatchCompleted",
    ]  # fmt: skip
    record = engine.record()
    summary = engine.summary(record)
    assert_accounts_for_all(summary, engine.results(record), 40)
    assert record["status"] == "SUCCEEDED"
    assert summary["users"] == {"total": 8, "new": 8, "changed": 8, "failed": 0, "unknown": 0}
    assert summary["database"]["write_units"] == 8
    assert ended["output"]["summary"] == {"bucket": "work", "key": record["summary"]}
    assert len(engine.stored()) == 8
    assert engine.calls["FilterFunction"] > 1


def test_a_batch_is_listed_from_its_claim_on_until_its_record_expires(engine):
    engine.run(batch(engine.put("in/a.jsonl", readings())))
    records = DynamoDBBatchStore(engine.dynamodb, engine.tables["BatchesTable"])
    [record], last = records.page(10)
    assert last is None
    assert record.status == "SUCCEEDED"
    began = datetime.fromisoformat(record.started_at)
    assert int(engine.record()["expires_at"]) == int((began + timedelta(days=30)).timestamp())


def test_a_second_start_ends_with_a_pointer_to_the_first(engine):
    source = engine.put("in/a.jsonl", readings())
    first = engine.run(batch(source))
    calls = dict(engine.calls)
    second = engine.run(batch(source))
    assert second["status"] == "SUCCEEDED"
    assert engine.entered(second["executionArn"])[-1] == "BatchAlreadyClaimed"
    assert second["output"]["first"] == {
        "status": "SUCCEEDED",
        "execution_arn": first["executionArn"],
    }
    assert engine.calls["PlanFunction"] == calls["PlanFunction"]


def test_the_same_readings_again_change_no_byte_and_write_nothing(engine):
    engine.run(batch(engine.put("in/a.jsonl", readings())))
    before = engine.stored()
    again = engine.run(batch(engine.put("in/b.jsonl", readings())))
    record = engine.record(again["output"]["batch_id"])
    assert engine.stored() == before
    assert counts(engine.results(record)) == {("duplicate", "duplicate"): 40}
    summary = engine.summary(record)
    assert summary["database"]["write_units"] == 0
    assert_accounts_for_all(summary, engine.results(record), 40)


def test_every_bad_record_comes_back_as_a_result_and_in_unreadable_jsonl(engine):
    lines = [json.dumps(line).encode() for line in readings(users=3, days=3)]
    lines[2:2] = [b"{broken", b"", b'{"user_id":"user-0","timestamp":"2026-03-01","value":1}']
    ended = engine.run(batch(engine.put("in/a.jsonl", b"\r\n".join(lines))))
    record = engine.record()
    results = engine.results(record)
    assert ended["status"] == "SUCCEEDED"
    assert_accounts_for_all(engine.summary(record), results, 11)
    assert [(r["status"], r["reason"]) for r in results[2:4]] == [
        ("unreadable", "malformed"),
        ("unreadable", "bad_timestamp"),
    ]
    rejected = [
        json.loads(line)
        for key in engine.keys(f"{record['prefix']}/unreadable/")
        for line in engine.s3.get_object(Bucket="work", Key=key)["Body"].read().splitlines()
    ]
    assert {(r["index"], r["file"], r["line"]) for r in rejected} == {
        (2, "in/a.jsonl", 3),
        (3, "in/a.jsonl", 5),
    }


def test_only_users_whose_state_changed_are_processed_in_a_second_round(engine):
    engine.run(batch(engine.put("in/a.jsonl", readings(days=2))))
    moved = ["user-1", "user-5"]

    def fault(called, event, number):
        # Between the last load and the first write, even if other code runs at the same time.
        if called == "FilterFunction" and event["round"] == 0 and not done:
            done.append(True)
            other_writer(engine, moved)

    done = []
    engine.fault = fault
    ended = engine.run(batch(engine.put("in/b.jsonl", readings(days=4))))
    assert ended["status"] == "SUCCEEDED"
    record = engine.record(ended["output"]["batch_id"])
    summary = engine.summary(record)
    results = engine.results(record)
    assert summary["database"]["rounds"] == 1
    assert summary["database"]["conflicts"] == 2
    assert summary["users"]["changed"] == 8
    assert_accounts_for_all(summary, results, 32)
    assert counts(results) == {("accepted", None): 16, ("duplicate", "duplicate"): 16}


def test_users_in_conflict_in_every_round_are_reported_and_not_changed(engine):
    engine.run(batch(engine.put("in/a.jsonl", readings(days=2))))

    def fault(called, event, number):
        if called == "WriteFunction":
            other_writer(engine, ["user-1"])

    engine.fault = fault
    before = engine.stored()
    ended = engine.run(batch(engine.put("in/b.jsonl", readings(days=4, start=3))))
    assert ended["status"] == "SUCCEEDED"
    record = engine.record(ended["output"]["batch_id"])
    summary = engine.summary(record)
    results = engine.results(record)
    assert summary["database"]["rounds"] == MAX_CONFLICT_ROUNDS
    assert_accounts_for_all(summary, results, 32)
    assert counts(results) == {("accepted", None): 28, ("failed", "conflict"): 4}
    assert {r["user_id"] for r in results if r["status"] == "failed"} == {"user-1"}
    assert engine.stored()["user-1"]["body"] == before["user-1"]["body"]
    assert summary["users"]["failed"] == 1


def test_a_rehearsal_writes_nothing(engine):
    ended = engine.run(batch(engine.put("in/a.jsonl", readings()), write_mode="none"))
    assert (ended["status"], ended["output"]["status"]) == ("SUCCEEDED", "rehearsed")
    assert engine.stored() == {}
    assert counts(engine.results(engine.record())) == {("accepted", None): 40}


@pytest.mark.parametrize("mode", ["transactional", "overwrite"])
def test_the_other_write_modes_store_the_same_states(engine, mode):
    engine.run(batch(engine.put("in/a.jsonl", readings())))
    conditional = engine.stored()
    for user in conditional:
        engine.dynamodb.delete_item(
            TableName=engine.tables["StatesTable"],
            Key={"user_id": {"S": user}, "profile": {"S": "body-weight"}},
        )
    ended = engine.run(batch(engine.put("in/b.jsonl", readings()), write_mode=mode))
    assert ended["status"] == "SUCCEEDED"
    assert engine.stored() == conditional
