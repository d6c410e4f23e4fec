"""The state machine itself: what runs, what is retried, what is caught, what is committed."""

import json
import re
from collections import Counter

import pytest

from kalmap.store.backoff import RetryPolicy
from kalmap.store.states import Change, StateStore
from tests.statemachine.engine import Throttled
from tests.tables import ROOT

NOW = "2026-04-01T00:00:00Z"


def readings(users=8, days=5, value=80.0, start=1):
    return [
        {
            "user_id": f"user-{user}",
            "timestamp": f"2026-03-{start + day:02d}T07:00:00Z",
            "value": value + user + 0.1 * day,
        }
        for day in range(days)
        for user in range(users)
    ]


def batch(source, **options):
    return {"source": source, "now": NOW} | options


def counts(results):
    return Counter((result["status"], result["reason"]) for result in results)


def assert_accounts_for_all(summary, results, received):
    assert summary["readings"]["received"] == received == len(results)
    told = summary["readings"]
    by_reason = [told[name].values() for name in ("rejected", "invalid", "failed")]
    assert told["accepted"] + told["duplicate"] + sum(map(sum, by_reason)) == received
    assert [result["index"] for result in results] == list(range(received))
    found = counts(results)
    for status in ("rejected", "invalid", "failed"):
        for reason, number in told[status].items():
            assert found[status, reason] == number
    assert found["accepted", None] == told["accepted"]


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


def test_every_bad_record_comes_back_as_a_result_and_in_the_rejected_file(engine):
    lines = [json.dumps(line).encode() for line in readings(users=3, days=3)]
    lines[2:2] = [b"{broken", b"", b'{"user_id":"user-0","timestamp":"2026-03-01","value":1}']
    ended = engine.run(batch(engine.put("in/a.jsonl", b"\r\n".join(lines))))
    record = engine.record()
    results = engine.results(record)
    assert ended["status"] == "SUCCEEDED"
    assert_accounts_for_all(engine.summary(record), results, 11)
    assert [(r["status"], r["reason"]) for r in results[2:4]] == [
        ("invalid", "malformed"),
        ("invalid", "bad_timestamp"),
    ]
    rejected = [
        json.loads(line)
        for key in engine.keys(f"{record['prefix']}/rejected/")
        for line in engine.s3.get_object(Bucket="work", Key=key)["Body"].read().splitlines()
    ]
    assert {(r["index"], r["file"], r["line"]) for r in rejected} == {
        (2, "in/a.jsonl", 3),
        (3, "in/a.jsonl", 5),
    }


@pytest.mark.parametrize(
    "function",
    ["IdentifyFunction", "PlanFunction", "PartitionFunction", "PlanShardsFunction", "LoadFunction",
     "FilterFunction", "AggregateFunction", "WriteFunction", "CollectFunction",
     "CompleteFunction"],
)  # fmt: skip
def test_every_step_survives_a_throttled_call_a_lost_answer_and_a_crash(engine, function):
    seen = Counter()

    def fault(called, event, number):
        if called == function:
            seen["before"] += 1
            if seen["before"] == 1:
                raise Throttled
            if seen["before"] == 2:
                raise MemoryError("killed")

    def fault_after(called, event, number):
        if called == function:
            seen["after"] += 1
            if seen["after"] == 1:
                raise TimeoutError("the answer was lost")

    engine.fault, engine.fault_after = fault, fault_after
    ended = engine.run(batch(engine.put("in/a.jsonl", readings(users=2, days=5))))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert seen["before"] >= 4
    record = engine.record()
    summary = engine.summary(record)
    assert_accounts_for_all(summary, engine.results(record), 10)
    assert summary["readings"]["accepted"] == 10
    assert summary["database"]["conflicts"] == 0
    assert len(engine.stored()) == 2


def always(function, when=lambda event: True):
    def fault(called, event, number):
        if called == function and when(event):
            raise ValueError("cannot")

    return fault


@pytest.mark.parametrize("step", ["Load", "Filter"])
def test_a_shard_that_always_fails_closes_the_gate_and_nothing_is_stored(engine, step):
    engine.fault = always(f"{step}Function", lambda event: event["shard"]["shard"] == 1)
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert (ended["status"], ended["error"]) == ("FAILED", "BatchFailed")
    assert re.search(r"1 of \d shards failed", ended["cause"])
    assert "No state was changed" in ended["cause"]
    assert engine.stored() == {}
    assert engine.calls["WriteFunction"] == 0
    record = engine.record()
    assert (record["status"], record["reason"]) == ("FAILED", ended["cause"])
    results = engine.results(record)
    summary = engine.summary(record)
    assert_accounts_for_all(summary, results, 40)
    assert [failure["number"] for failure in summary["failed_shards"]] == [1]
    assert "cannot" in summary["failed_shards"][0]["error"]


def test_within_the_limit_the_other_shards_commit_and_the_failed_readings_are_kept(engine):
    engine.fault = always("FilterFunction", lambda event: event["shard"]["shard"] == 1)
    source = engine.put("in/a.jsonl", readings())
    ended = engine.run(batch(source, limits={"failed_shards": 0.5}))
    assert ended["status"] == "SUCCEEDED"
    record = engine.record()
    results = engine.results(record)
    assert_accounts_for_all(engine.summary(record), results, 40)
    failed = {r["user_id"] for r in results if r["reason"] == "shard_failed"}
    assert failed
    assert set(engine.stored()) == {f"user-{n}" for n in range(8)} - failed
    kept = [
        json.loads(line)
        for key in engine.keys(f"{record['prefix']}/failed/")
        for line in engine.s3.get_object(Bucket="work", Key=key)["Body"].read().splitlines()
    ]
    assert {line["user_id"] for line in kept} == failed
    assert len(kept) == 5 * len(failed)


def test_a_chunk_that_always_fails_closes_the_gate_and_its_readings_are_failed(engine):
    engine.fault = always("PartitionFunction")
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert ended["status"] == "FAILED"
    assert "chunk" in ended["cause"]
    assert engine.stored() == {}
    record = engine.record()
    results = engine.results(record)
    assert counts(results) == {("failed", "shard_failed"): 40}
    assert_accounts_for_all(engine.summary(record), results, 40)


def test_an_input_that_vanishes_fails_the_batch_with_a_sentence(engine):
    source = engine.put("in/a.jsonl", readings())

    def fault(called, event, number):
        if called == "PartitionFunction":
            engine.s3.delete_object(Bucket="work", Key="in/a.jsonl")

    engine.fault = fault
    ended = engine.run(batch(source))
    assert ended["status"] == "FAILED"
    assert "could be read" in ended["cause"]
    assert engine.stored() == {}


def test_too_many_unusable_readings_close_the_gate_unless_the_limit_allows_them(engine):
    data = readings(users=20, days=5)
    for line in data[:30]:
        line["value"] = 2000.0
    ended = engine.run(batch(engine.put("in/a.jsonl", data)))
    assert ended["status"] == "FAILED"
    assert "30 of 100 readings are invalid, out of range or in the future" in ended["cause"]
    assert engine.stored() == {}
    ended = engine.run(batch(engine.put("in/a.jsonl", data), limits={"unusable": 0.5}))
    assert ended["status"] == "SUCCEEDED"
    assert len(engine.stored()) == 20


def test_a_write_that_always_fails_is_told_user_by_user(engine):
    engine.fault = always("WriteFunction", lambda event: event["shard"]["shard"] == 1)
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert ended["status"] == "FAILED"
    assert "could not be committed" in ended["cause"]
    record = engine.record()
    results = engine.results(record)
    summary = engine.summary(record)
    assert_accounts_for_all(summary, results, 40)
    failed = {r["user_id"] for r in results if r["status"] == "failed"}
    assert set(engine.stored()) == {f"user-{n}" for n in range(8)} - failed
    assert f"The states of {8 - len(failed)} users had been written" in ended["cause"]
    engine.fault = None
    again = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert again["status"] == "SUCCEEDED"
    assert len(engine.stored()) == 8


def test_after_a_failure_the_same_batch_can_be_claimed_again_and_reads_no_old_report(engine):
    source = engine.put("in/a.jsonl", readings())
    engine.fault = always("FilterFunction")
    assert engine.run(batch(source))["status"] == "FAILED"
    engine.fault = None
    ended = engine.run(batch(source))
    assert ended["status"] == "SUCCEEDED"
    record = engine.record()
    assert record["status"] == "SUCCEEDED"
    assert counts(engine.results(record)) == {("accepted", None): 40}


def other_writer(engine, users):
    """Write users' states as another batch would, from what is stored now."""
    store = StateStore(
        engine.dynamodb, engine.tables["StatesTable"], retry=RetryPolicy(base=0.01, cap=0.1)
    )
    states = store.load("body-weight", users).states
    some = next(iter(states.values())).body if states else b"?"
    changes = [
        Change(user, states.get(user), states[user].body if user in states else some, 1.0, 0.0, 0)
        for user in users
    ]
    token = f"other-{engine.calls.total()}"
    written = store.write("body-weight", changes, batch=token, attempt="a", round_=0)
    assert len(written.written) == len(users)


def test_users_whose_state_moved_go_round_again_and_only_they(engine, no_waiting):
    engine.run(batch(engine.put("in/a.jsonl", readings(days=2))))
    moved = ["user-1", "user-5"]

    def fault(called, event, number):
        if called == "WriteFunction" and event["round"] == 0 and not done:
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


def test_users_in_conflict_in_every_round_are_reported_and_not_changed(engine, no_waiting):
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
    assert summary["database"]["rounds"] == 5
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


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"source": {}}, "key, prefix and records"),
        ({}, "source"),
        ({"source": {"bucket": "work", "key": "nothing"}}, "no object"),
        ({"source": {"bucket": "work", "prefix": "nothing/"}}, "nothing to read"),
        ({"source": {"records": []}}, "empty"),
        ({"source": {"records": [{}]}, "profile": "brain-weight"}, "body-weight"),
        ({"source": {"records": [{}]}, "profile": {"name": "x"}}, "unit"),
        ({"source": {"records": [{}]}, "limits": {"unusable": 2}}, "limits.unusable"),
        ({"source": {"records": [{}]}, "write_mode": "fast"}, "write_mode"),
    ],
)
def test_a_wrong_input_fails_at_once_with_a_sentence(engine, given, word):
    ended = engine.run(given)
    assert (ended["status"], ended["error"]) == ("FAILED", "BatchFailed")
    assert word in ended["cause"]
    assert engine.calls["IdentifyFunction"] == 1
    assert engine.entered(ended["executionArn"])[-1] == "BatchFailed"


def test_what_is_neither_jsonl_nor_csv_fails_with_a_sentence(engine):
    ended = engine.run(batch(engine.put("in/cat.png", b"\x89PNG\r\n\x1a\n")))
    assert "in/cat.png is neither JSONL" in ended["cause"]
    assert engine.record()["status"] == "FAILED"


def test_inline_records_are_one_batch_however_often_they_are_sent(engine):
    given = batch({"records": readings(users=2, days=2)})
    assert engine.run(given)["output"]["accepted"] == 4
    assert "first" in engine.run(given)["output"]


def test_a_batch_in_which_every_user_fails_is_no_success(engine):
    engine.run(batch({"records": readings(days=2)}))
    builtin = ROOT / "functions" / "kalmap" / "profiles" / "body-weight.json"
    changed = json.loads(builtin.read_text()) | {"gate": 9.0}
    given = batch({"records": readings(days=4)}, profile=changed)
    before = engine.stored()
    ended = engine.run(given)
    assert ended["status"] == "FAILED"
    assert "All 8 users failed (profile_changed)" in ended["cause"]
    assert "adopt_profile" in ended["cause"]
    assert engine.stored() == before
    ended = engine.run(given | {"adopt_profile": True})
    assert ended["output"]["accepted"] == 16


def test_an_s3_event_starts_the_batch_of_its_object(engine):
    source = engine.put("incoming/a.jsonl", readings(users=2, days=2))
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "work"}, "object": {"key": source["key"]}},
    }
    assert engine.run(event)["output"]["accepted"] == 4


def test_a_failure_that_cannot_be_recorded_still_says_why(engine):
    def fault(called, event, number):
        if called in {"PlanFunction", "RecordFailureFunction"}:
            raise ValueError(f"{called} cannot")

    engine.fault = fault
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert ended["status"] == "FAILED"
    assert "PlanFunction cannot" in ended["cause"]
    assert engine.entered(ended["executionArn"])[-1] == "UnrecordedFailure"


def test_a_profile_may_lie_in_s3(engine):
    builtin = ROOT / "functions" / "kalmap" / "profiles" / "body-weight.json"
    profile = json.loads(builtin.read_text()) | {"name": "mine"}
    engine.s3.put_object(Bucket="work", Key="profiles/mine.json", Body=json.dumps(profile))
    ended = engine.run(
        batch(
            {"records": readings(users=2, days=2)},
            profile={"bucket": "work", "key": "profiles/mine.json"},
        )
    )
    assert ended["status"] == "SUCCEEDED"
    assert engine.record()["profile"] == "mine"


def test_a_retry_runs_exactly_the_readings_that_failed(engine):
    engine.fault = always("FilterFunction", lambda event: event["shard"]["shard"] == 1)
    source = engine.put("in/a.jsonl", readings())
    first = engine.run(batch(source, limits={"failed_shards": 0.5}))
    batch_id = first["output"]["batch_id"]
    failed = [r for r in engine.results(engine.record(batch_id)) if r["status"] == "failed"]
    engine.fault = None
    second = engine.run({"retry_of": batch_id})
    assert second["status"] == "SUCCEEDED"
    results = engine.results(engine.record(second["output"]["batch_id"]))
    assert counts(results) == {("accepted", None): len(failed)}
    places = ("user_id", "timestamp", "value")
    assert [[r[p] for p in places] for r in results] == [[r[p] for p in places] for r in failed]
    assert len(engine.stored()) == 8
    third = engine.run({"retry_of": second["output"]["batch_id"]})
    assert "no failed reading" in third["cause"]


def test_a_retry_of_a_failed_batch_runs_all_its_readings(engine):
    engine.fault = always("FilterFunction")
    assert engine.run(batch(engine.put("in/a.jsonl", readings())))["status"] == "FAILED"
    engine.fault = None
    ended = engine.run({"retry_of": engine.record()["batch_id"]})
    assert ended["output"]["accepted"] == 40


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"retry_of": "nothing"}, "hexadecimal"),
        ({"retry_of": "0" * 32}, "no batch 000"),
        ({"retry_of": "0" * 32, "profile": "body-weight", "write_mode": "none"}, "leave out"),
    ],
)
def test_a_retry_of_nothing_or_with_options_of_its_own_is_refused(engine, given, word):
    assert word in engine.run(given)["cause"]
