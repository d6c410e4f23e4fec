"""Every fault of the network, the services and the workers, in the workers of a whole batch.

The same second batch of readings meets the same stored states in every test, so that final
states and result lines must be those of the fault-free run, to the bit.
"""

import random

import pytest

from tests.support.faults import READ, STORE, WRITE, faults, rule
from tests.support.faulty_cloud import PARAMETERS, assert_accounts_for_all, executions
from tests.support.moto_engine import Throttled, deployed
from tests.support.two_batches import FIRST, SECOND, assert_equals_fault_free_run, batch, jsonl


def test_the_fault_free_run_has_every_kind_of_result(fault_free_run):
    assert {
        ("accepted", None),
        ("duplicate", "duplicate"),
        ("rejected", "outlier"),
        ("rejected", "out_of_range"),
        ("unreadable", "malformed"),
        ("unreadable", "bad_timestamp"),
    } <= set(fault_free_run.ran.counts)
    assert_accounts_for_all(fault_free_run.ran, len(SECOND))
    database = fault_free_run.ran.summary["database"]
    assert database["throttles"] == database["retries"] == database["conflicts"] == 0
    assert 0 < fault_free_run.changed == fault_free_run.ran.summary["users"]["changed"]


#: Faults that the store itself must get over: name, rules, and what the summary then counts.
IN_THE_STORE = {
    "every second request throttled": (
        [rule("Load|Write", STORE, "throttled", last=99, every=2)],
        ("throttles", "retries"),
    ),
    "keys left unprocessed": (
        [rule("Load", READ, "half left undone", last=6)],
        ("throttles", "retries"),
    ),
    "half of the statements throttled": (
        [rule("Write", WRITE, "half left undone", last=8)],
        ("throttles", "retries"),
    ),
    "the connection cut after the server applied a write": (
        [rule("Write", WRITE, "cut after", last=99, every=2)],
        ("retries",),
    ),
    "500s before and after the write": (
        [rule("Load|Write", STORE, "500", last=99, every=3),
         rule("Write", WRITE, "500 after", first=2, last=99, every=3)],
        ("retries",),
    ),
    "answers later than the timeout": (
        [rule("Load|Write", STORE, "too slow", last=99, every=2)],
        ("retries",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_THE_STORE)
def test_faults_of_the_table_do_not_change_the_results(name, between, fault_free_run):
    rules, counted = IN_THE_STORE[name]
    between.inject(*rules)
    ran = between.run(batch(between.put(jsonl(SECOND))))
    assert between.met().total() >= 3
    assert_equals_fault_free_run(between, ran, fault_free_run)
    for what in counted:
        assert ran.summary["database"][what] > 0


#: Faults that end a worker or its task, so that Step Functions must run it again.
IN_THE_WORKERS = {
    "killed before its writes": [rule("Write", WRITE, "killed before")],
    "killed during its writes": [rule("Write", WRITE, "killed after", last=2)],
    "killed after its writes": [rule("Write", "PutObject", "killed before", key="/writes/")],
    "killed while loading and filtering": [
        rule("Load", READ, "killed after"),
        rule("Filter", "PutObject", "killed after", key="/results/"),
    ],
    "a put that fails once in every step": [
        rule(function, "PutObject", "500")
        for function in ("Identify", "PlanFunction", "Partition", "PlanShards", "Load", "Filter",
                         "Aggregate", "Write", "Collect", "Complete")
    ],
    "an answer lost in every step": [
        rule(function, "PutObject", "cut after", key=key)
        for function, key in (("Partition", "partitions/"), ("Load", "/states/"),
                              ("Filter", "/results/"), ("Write", "/writes/"),
                              ("Complete", "summary.json"))
    ],
    "an object missing, or cut off on its way, once": [
        rule("Filter", "GetObject", "not there", key=r"\.loaded$"),
        rule("Write", "GetObject", "cut in the middle", key=r"\.changed$"),
        rule("Filter", "GetObject", "cut in the middle", key=r"slices\.bin$"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", IN_THE_WORKERS)
def test_a_lost_worker_is_run_again_and_the_results_do_not_change(name, between, fault_free_run):
    between.inject(*IN_THE_WORKERS[name])
    ran = between.run(batch(between.put(jsonl(SECOND))))
    assert between.met().total() >= len(IN_THE_WORKERS[name])
    assert_equals_fault_free_run(between, ran, fault_free_run)


def test_a_worker_that_times_out_is_run_again_and_the_results_do_not_change(
    between, fault_free_run
):
    between.inject(
        rule("Write", WRITE, "out of time", first=2),
        rule("Filter", "PutObject", "out of time"),
    )
    with between.configured(["WriteFunction", "FilterFunction"], Timeout=3):
        ran = between.run(batch(between.put(jsonl(SECOND))))
    assert between.met()["out of time"] == 2
    assert_equals_fault_free_run(between, ran, fault_free_run)


def test_throttled_functions_are_called_again_and_the_results_do_not_change(
    monkeypatch, fault_free_run
):
    # On moto's interpreter: the local cloud does not give this error the name that AWS gives it.
    with deployed(monkeypatch, READINGS_PER_SHARD=PARAMETERS["ReadingsPerShard"]) as engine:
        first = engine.run(batch(engine.put("in/first", jsonl(FIRST))))
        assert first["status"] == "SUCCEEDED", first["cause"]
        engine.calls.clear()

        def fault(function, event, number):
            if number in {1, 3}:
                faults["function throttled"] += 1
                raise Throttled

        engine.fault = fault
        ended = engine.run(batch(engine.put("in/second", jsonl(SECOND))))
        executions["started"] += 2
        assert (ended["status"], ended.get("cause")) == ("SUCCEEDED", None)
        assert all(calls >= 2 for calls in engine.calls.values())
        record = engine.record(ended["output"]["batch_id"])
        results = engine.results(record)
        assert results == fault_free_run.ran.decoded
        assert engine.summary(record)["readings"] == fault_free_run.ran.summary["readings"]
        stored = engine.stored()
    assert {user: item["body"] for user, item in stored.items()} == {
        user: state.body for user, state in fault_free_run.after.items()
    }


@pytest.mark.parametrize("seed", range(4))
def test_faults_drawn_from_a_seed_do_not_change_the_results(seed, between, fault_free_run):
    chance = random.Random(seed)
    kinds = ("throttled", "500", "500 after", "cut after", "too slow", "half left undone")
    rules = [
        rule("Load|Write", STORE, chance.choice(kinds), first=first, last=first + 1)
        for first in sorted(chance.sample(range(1, 14), 4))
    ]
    steps = ("Partition", "PlanShards", "Load", "Filter", "Aggregate", "Write", "Collect")
    for step in chance.sample(steps, 3):
        kind = chance.choice(("killed before", "killed after", "500", "cut after"))
        rules.append(rule(step, "PutObject|GetObject", kind, first=chance.randint(1, 4)))
    between.inject(*rules)
    ran = between.run(batch(between.put(jsonl(SECOND))))
    assert between.met().total() >= 5
    assert_equals_fault_free_run(between, ran, fault_free_run)
