"""Throttled Lambdas are waited for, and an error without a cause is still reported."""

import time
from collections import Counter

from tests.support.moto_engine import WORK, Throttled
from tests.support.statemachine_batches import always, batch, readings


def test_a_lambda_that_is_throttled_twenty_times_is_still_waited_for(engine):
    seen = Counter()

    def fault(called, event, number):
        seen[called] += 1
        if called in {"PlanFunction", "WriteFunction"} and seen[called] <= 20:
            raise Throttled

    engine.fault = fault
    ended = engine.run(batch(engine.put("in/a.jsonl", readings())))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert len(engine.stored()) == 8


def test_a_step_that_exceeds_its_time_limit_fails_its_shard_and_says_so(engine):
    definition = engine._definition()
    load = definition.index('"LoadShard": {')
    engine.deploy(
        definition[:load]
        + definition[load:].replace('"TimeoutSeconds": 330', '"TimeoutSeconds": 1', 1)
    )

    def fault(called, event, number):
        if called == "LoadFunction":
            time.sleep(1.5)

    engine.fault = fault
    ended = engine.run(batch(engine.put("in/a.jsonl", readings(users=1, days=2))))
    assert ended["error"] == "BatchFailed"
    assert "1 of 1 shard failed" in ended["cause"]
    assert "States.Timeout" in ended["cause"]


def test_a_failure_that_cannot_be_recorded_still_ends_with_the_first_error(engine):
    engine.fault = always("RecordFailureFunction")
    ended = engine.run(batch({"bucket": "work", "key": "nothing"}))
    assert ended["error"] == "BatchFailed"
    assert f"There is no object s3://{WORK}/nothing." in ended["cause"]
