"""Logs and metrics of the pipeline: what happened and how much, never who or what value."""

import io
import json
import logging

import pytest

from kalmap.keys import report_number
from kalmap_handlers.telemetry import logger
from tests.support.statemachine_batches import always, batch, other_writer

SECRET_USER = "someone-private"
SECRET_VALUE = 81.73519


def readings(days, start=1):
    return [
        {
            "user_id": f"{SECRET_USER}-{user}",
            "timestamp": f"2026-03-{start + day:02d}T07:00:00Z",
            "value": SECRET_VALUE + user,
            "measurement_id": f"{SECRET_USER}-m-{user}-{day}",
        }
        for day in range(days)
        for user in range(6)
    ]


@pytest.fixture
def log():
    """Everything that would be logged on AWS, as it would be."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logger.registered_formatter)
    level = logger.log_level
    logger.setLevel("INFO")
    logger.addHandler(handler)
    yield stream
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_no_user_id_and_no_value_is_in_any_line_history_or_record_of_a_full_run(
    engine, log, capsys
):
    broken = [json.dumps(line) for line in readings(3)] + [
        f'{{"user_id": "{SECRET_USER}", "value": {SECRET_VALUE}',
        f"{SECRET_USER} broken",
    ]
    engine.run(batch(engine.put("in/a.jsonl", "\n".join(broken).encode())))
    moved = []

    def conflict(function, event, number):
        if function == "WriteFunction" and not moved:
            moved.append(True)
            other_writer(engine, [f"{SECRET_USER}-1"])

    engine.fault = conflict
    engine.run(batch(engine.put("in/b.jsonl", readings(4))))
    for step in ("Partition", "Filter", "Write"):
        engine.fault = always(f"{step}Function")
        engine.run(batch(engine.put(f"in/{step}.jsonl", readings(6))))
    engine.fault = None
    changed = engine.run(batch(engine.put("in/c.jsonl", readings(7)), adopt_profile=True))
    assert changed["status"] == "SUCCEEDED"
    output = capsys.readouterr()
    lines = (log.getvalue() + output.out + output.err).splitlines()
    assert sum('"step done"' in line for line in lines) > 30
    assert any('"_aws"' in line for line in lines)
    histories, records = told_elsewhere(engine)
    assert len(records) > 5
    assert any("ExecutionFailed" in history for history in histories)
    for text in (*lines, *histories, *records):
        assert SECRET_USER not in text
        assert str(SECRET_VALUE) not in text


def test_every_line_of_a_step_says_its_batch_attempt_step_and_shard(engine, log):
    def lose_what_was_loaded(function, event, number):
        if function == "FilterFunction":
            for key in engine.keys("batches/"):
                if key.endswith(".loaded"):
                    engine.s3.delete_object(Bucket="work", Key=key)

    engine.fault = lose_what_was_loaded
    ended = engine.run(batch(engine.put("in/a.jsonl", readings(3))))
    assert ended["status"] == "FAILED"
    [record] = [engine.record(batch_id) for batch_id in engine.batches()]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [line for line in lines if line["message"].startswith("step ")]
    assert {(line["batch"], line["attempt"]) for line in told} == {
        (record["batch_id"], record["execution"])
    }
    failed = [line for line in told if line["message"] == "step failed"]
    assert {(line["level"], line["error"]) for line in failed} == {("ERROR", "InputNotFound")}
    failed = [line for line in failed if line["step"] == "filter"]
    loaded = {line["shard"] for line in told if line["step"] == "load"}
    assert {line["shard"] for line in failed} == loaded
    # The reports' names have the numbers of the shards.
    stored = [key for key in engine.keys("batches/") if "/reports/load-" in key]
    assert loaded == {report_number(key) for key in stored}
    assert max(loaded) > 0


def told_elsewhere(engine):
    """What every execution's history and every batch's record say."""
    executions = engine.states.list_executions(stateMachineArn=engine.machine)["executions"]
    histories = [str(engine.events(execution["executionArn"])) for execution in executions]
    return histories, [str(engine.record(batch_id)) for batch_id in engine.batches()]
