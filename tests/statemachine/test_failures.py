"""The state machine when something fails: what is retried, what is caught, what is committed."""

import json
import re
import threading
import time
from collections import Counter

import pytest

from tests.support.moto_engine import Throttled
from tests.support.statemachine_batches import (
    always,
    assert_accounts_for_all,
    batch,
    counts,
    other_writer,
    readings,
)
from tests.support.template import ROOT


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


def test_tries_that_were_killed_count_in_the_cost_of_a_batch(engine):
    source = engine.put("in/a.jsonl", readings(users=2, days=5))
    quiet = engine.run(batch(source, write_mode="none"))
    killed = []

    def fault(called, event, number):
        if called == "FilterFunction" and len(killed) < 2:
            killed.append(time.sleep(0.3))
            raise MemoryError("killed")

    engine.fault = fault
    ended = engine.run(batch(source, write_mode="none", limits={"unusable": 0.3}))
    before, after = (
        engine.summary(engine.record(one["output"]["batch_id"])) for one in (quiet, ended)
    )
    assert (before["lost_tries"], after["lost_tries"]) == (0, 2)
    # Two transitions, two requests, and 0.6 seconds of a GB.
    least = 2 * 0.025e-3 + 2 * 0.2e-6 + 0.6 * 0.0000133334
    assert after["cost_usd"] - before["cost_usd"] > 0.9 * least


@pytest.mark.parametrize("step", ["Load", "Filter"])
def test_a_permanently_failing_shard_closes_the_gate_and_nothing_is_stored(engine, step):
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


def test_within_the_limit_other_shards_commit_and_failed_readings_are_saved(engine):
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
    saved = [
        json.loads(line)
        for key in engine.keys(f"{record['prefix']}/failed/")
        for line in engine.s3.get_object(Bucket="work", Key=key)["Body"].read().splitlines()
    ]
    assert {line["user_id"] for line in saved} == failed
    assert len(saved) == 5 * len(failed)


def lose(engine, event, *names):
    for name in names:
        engine.s3.delete_object(Bucket="work", Key=f"{event['batch']['prefix']}/{name}")


@pytest.mark.parametrize(
    "lost",
    [
        ["partitions/000000.bin"],
        ["partitions/000000.bin", "partitions/000000.report"],
        ["slices.bin"],
    ],
    ids=["readings", "readings and report", "places"],
)
def test_readings_that_the_batch_has_lost_are_found_in_its_input_and_failed(engine, lost):
    lines = [json.dumps(reading).encode() for reading in readings()]
    source = engine.put("in/a.jsonl", b"\n".join([*lines[:9], b"{broken", *lines[9:]]))

    # Nothing is lost any more once a shard is being given up: it puts all in its place again.
    one_at_a_time = threading.Lock()
    given_up = []

    def fault(called, event, number):
        with one_at_a_time:
            if called == "FailShardFunction":
                given_up.append(number)
            elif called == "FilterFunction" and not given_up:
                lose(engine, event, *lost)

    engine.fault = fault
    ended = engine.run(batch(source))
    assert "of 3 shards failed" in ended["cause"]
    assert engine.stored() == {}
    record = engine.record()
    results = engine.results(record)
    assert_accounts_for_all(engine.summary(record), results, 41)
    assert counts(results)["failed", "shard_failed"] > 0
    assert results.pop(9)["reason"] == "malformed"
    fields = ("user_id", "timestamp", "value")
    assert [[r[p] for p in fields] for r in results] == [[r[p] for p in fields] for r in readings()]


def test_readings_lost_before_a_second_round_are_failed_one_by_one(engine):
    def fault(called, event, number):
        if called == "FilterFunction" and event["round"] == 0 and not moved:
            moved.append(True)
            other_writer(engine, ["user-1"])
        if called == "FilterFunction" and event["round"] == 1:
            lose(engine, event, "partitions/000000.bin")

    moved = []
    engine.fault = fault
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert "1 of 3 shards could not be committed" in ended["cause"]
    record = engine.record()
    results = engine.results(record)
    assert_accounts_for_all(engine.summary(record), results, 40)
    assert counts(results) == {("accepted", None): 35, ("failed", "shard_failed"): 5}
    assert {r["user_id"] for r in results if r["status"] == "failed"} == {"user-1"}


def test_readings_that_the_input_has_lost_too_are_counted_as_failed(engine):
    def fault(called, event, number):
        if called == "FilterFunction":
            lose(engine, event, "partitions/000000.bin")
            engine.s3.delete_object(Bucket="work", Key="in/a.jsonl")

    engine.fault = fault
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert "3 of 3 shards failed" in ended["cause"]
    record = engine.record()
    assert engine.summary(record)["readings"]["failed"] == {"shard_failed": 40}
    assert engine.results(record) == []


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
    assert "30 of 100 readings are unreadable, out of range or in the future" in ended["cause"]
    assert engine.stored() == {}
    ended = engine.run(batch(engine.put("in/a.jsonl", data), limits={"unusable": 0.5}))
    assert ended["status"] == "SUCCEEDED"
    assert len(engine.stored()) == 20


def test_a_small_batch_of_which_nothing_was_readable_fails_and_says_why(engine):
    data = b"user_id,timestamp,value\nanna,2026-03-01 07:12:00,81.4\nanna,?,81.1\nben,?,x\n"
    ended = engine.run(batch(engine.put("in/local.csv", data)))
    assert ended["status"] == "FAILED"
    assert "Nothing could be read (bad_timestamp 2, bad_value 1)." in ended["cause"]
    assert "in/local.csv, line 2: timestamp has no offset" in ended["cause"]
    assert "line 4: value is not a number." in ended["cause"]
    assert "No state was changed." in engine.record()["reason"]


def test_a_permanently_failing_write_is_reported_for_each_user(engine):
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


def test_a_batch_in_which_every_user_fails_is_no_success(engine):
    engine.run(batch({"records": readings(days=2)}))
    builtin = ROOT / "functions" / "kalmap" / "profiles" / "body-weight.json"
    changed = json.loads(builtin.read_text()) | {"slope_prior": 0.05}
    batch_input = batch({"records": readings(days=4)}, profile=changed)
    before = engine.stored()
    ended = engine.run(batch_input)
    assert ended["status"] == "FAILED"
    assert "All 8 users failed (profile_changed)" in ended["cause"]
    assert "adopt_profile" in ended["cause"]
    assert engine.stored() == before
    ended = engine.run(batch_input | {"adopt_profile": True})
    assert ended["output"]["accepted"] == 16


def test_a_failure_that_cannot_be_recorded_still_says_why(engine):
    def fault(called, event, number):
        if called in {"PlanFunction", "RecordFailureFunction"}:
            raise ValueError(f"{called} cannot")

    engine.fault = fault
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert ended["status"] == "FAILED"
    assert "PlanFunction cannot" in ended["cause"]
    assert engine.entered(ended["executionArn"])[-1] == "UnrecordedFailure"


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
    fields = ("user_id", "timestamp", "value")
    assert [[r[p] for p in fields] for r in results] == [[r[p] for p in fields] for r in failed]
    assert len(engine.stored()) == 8
    third = engine.run({"retry_of": second["output"]["batch_id"]})
    assert "no failed reading" in third["cause"]


def test_a_retry_of_a_failed_batch_runs_all_its_readings(engine):
    engine.fault = always("FilterFunction")
    assert engine.run(batch(engine.put("in/a.jsonl", readings())))["status"] == "FAILED"
    engine.fault = None
    ended = engine.run({"retry_of": engine.record()["batch_id"]})
    assert ended["output"]["accepted"] == 40
