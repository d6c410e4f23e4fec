"""A batch runs once: with repeated starts, lost responses, stops, restarts and late workers."""

import json
import time

from tests.support.faults import WRITE, rule
from tests.support.faulty_cloud import assert_accounts_for_all, states
from tests.support.two_batches import SECOND, assert_equals_fault_free_run, batch, jsonl


def assert_points_to(ran, first, status):
    """The execution has left the batch to another one, and says which."""
    assert ran.status == "SUCCEEDED"
    assert ran.output["first"] == {"status": status, "execution_arn": first}
    assert ran.record == {}


def until_released(cloud, execution):
    """Wait until the rule on ended executions has marked the batch failed; gives the record."""
    give_up = time.monotonic() + 60
    while True:
        (record,) = [r for r in cloud.records() if r["execution_arn"] == execution]
        if record["status"] == "FAILED":
            return record
        assert time.monotonic() < give_up, "The claim was not released."
        time.sleep(0.05)


def test_the_same_batch_started_twice_at_once_runs_once(between, fault_free_run):
    batch_input = batch(between.put(jsonl(SECOND)))
    started = [between.begin(batch_input) for _ in range(3)]
    ended = [between.end(execution) for execution in started]
    (ran,) = [one for one in ended if one.record]
    for other in ended:
        if other is not ran:
            assert other.output["first"]["execution_arn"] == ran.execution
            assert between.entered(other.execution)[-1] == "BatchAlreadyClaimed"
    assert_equals_fault_free_run(between, ran, fault_free_run)

    # And once more, when it has long ended.
    before = between.items()
    assert_points_to(between.run(batch_input), ran.execution, "SUCCEEDED")
    assert between.items() == before


def test_an_event_that_arrives_twice_starts_one_batch(between, fault_free_run):
    before = len(between.records())
    between.put(jsonl(SECOND), key="incoming/readings.jsonl")
    give_up = time.monotonic() + 30
    while len(between.records()) == before:
        assert time.monotonic() < give_up, "the event starts nothing"
        time.sleep(0.05)
    newest = max(between.records(), key=lambda record: record["started_at"])
    ran = between.end(newest["execution_arn"])
    event = between.states.describe_execution(executionArn=ran.execution)["input"]
    assert json.loads(event)["detail-type"] == "Object Created"
    assert_points_to(between.run(event), ran.execution, "SUCCEEDED")
    assert states(between.items()) == fault_free_run.after
    assert_accounts_for_all(ran, len(SECOND))


def test_a_claim_whose_answer_was_lost_is_recognised(between, fault_free_run):
    batch_input = batch(between.put(jsonl(SECOND)))
    first = between.run(batch_input)
    # As ClaimBatch leaves it for itself when its answer does not arrive.
    claim = {"batch_id": {"S": first.record["batch_id"]}, "status": {"S": "RUNNING"}} | {
        name: {"S": first.record[name]} for name in ("execution_arn", "prefix", "profile")
    }
    table = between.stack.batches_table
    between.dynamodb.put_item(TableName=table, Item=claim | {"execution": {"S": "lost-answer"}})
    before = between.items()
    ran = between.run(batch_input, name="lost-answer")
    assert ran.record["status"] == "SUCCEEDED"
    assert between.items() == before
    assert_accounts_for_all(ran, len(SECOND))
    assert ran.summary["readings"]["accepted"] == ran.summary["users"]["changed"] == 0


def stopped_in_the_middle(cloud, batch_input):
    """Stop a batch that has written some of its states, one of its workers being held."""
    cloud.inject(rule("Write", WRITE, "held", first=3))
    execution = cloud.begin(batch_input)
    cloud.until_met("held")
    cloud.states.stop_execution(executionArn=execution, error="Tired", cause="It was stopped.")
    record = until_released(cloud, execution)
    assert "ended as ABORTED" in record["reason"]
    (message,) = cloud.failure_messages(execution)
    assert message["detail"]["status"] == "ABORTED"
    return execution


def test_a_batch_stopped_in_the_middle_can_be_started_again(between, fault_free_run):
    batch_input = batch(between.put(jsonl(SECOND)))
    before = states(between.items())
    stopped = stopped_in_the_middle(between, batch_input)
    changed = sum(state != before.get(user) for user, state in states(between.items()).items())
    assert 0 < changed < fault_free_run.changed
    wake = between.waker()
    between.stop_faults()

    ran = between.run(batch_input)
    assert ran.status == "SUCCEEDED"
    assert ran.record["execution"] != stopped.rpartition(":")[2]
    assert states(between.items()) == fault_free_run.after
    assert_accounts_for_all(ran, len(SECOND))
    assert ran.summary["users"]["changed"] == fault_free_run.changed - changed

    # The first one's worker wakes up at last, and finds that its versions are gone.
    after = between.items()
    wake()
    time.sleep(1)
    assert between.items() == after


def test_a_late_worker_of_a_stopped_batch_does_not_disturb_the_next_batch(between, fault_free_run):
    batch_input = batch(between.put(jsonl(SECOND)))
    stopped_in_the_middle(between, batch_input)
    stored = states(between.items())
    wake = between.waker()
    between.inject(rule("Write", WRITE, "held", last=9))
    execution = between.begin(batch_input)
    between.until_met("held")
    wake()
    give_up = time.monotonic() + 30
    while states(between.items()) == stored:
        assert time.monotonic() < give_up, "the worker does not wake up"
        time.sleep(0.05)
    between.let_go()
    ran = between.end(execution)
    assert ran.status == "SUCCEEDED", ran.cause
    assert ran.summary["database"]["conflicts"] > 0
    assert states(between.items()) == fault_free_run.after
    assert_accounts_for_all(ran, len(SECOND))


def in_conflict(cloud, batch_input):
    """A batch held at its writes, while another one has changed some of its users."""
    cloud.inject(rule("Write", WRITE, "held", last=9))
    execution = cloud.begin(batch_input)
    cloud.until_met("held")
    wake = cloud.waker()
    cloud.stop_faults()
    # The other one brings some of the same readings, so that all together are still SECOND's.
    selection = [line for line in SECOND if isinstance(line, dict) and line["user_id"] < "user-030"]
    other = cloud.run(batch(cloud.put(jsonl(selection))))
    assert other.status == "SUCCEEDED"
    return execution, wake, other


def test_only_users_changed_meanwhile_are_processed_in_a_second_round(between, fault_free_run):
    execution, wake, other = in_conflict(between, batch(between.put(jsonl(SECOND))))
    wake()
    ran = between.end(execution)
    assert ran.status == "SUCCEEDED", ran.cause
    assert states(between.items()) == fault_free_run.after
    assert_accounts_for_all(ran, len(SECOND))
    assert ran.summary["database"]["rounds"] == 1
    assert ran.summary["database"]["conflicts"] == other.summary["users"]["changed"]
    again = {r["user_id"] for r in other.decoded}
    assert {r["user_id"] for r in ran.decoded if r["status"] == "duplicate"} >= again
    total = ran.summary["readings"]["accepted"] + other.summary["readings"]["accepted"]
    assert total == fault_free_run.ran.summary["readings"]["accepted"]


def test_a_cloud_restarted_between_rounds_leaves_a_batch_that_can_be_started_again(
    between, fault_free_run
):
    batch_input = batch(between.put(jsonl(SECOND)))
    execution, wake, _ = in_conflict(between, batch_input)
    between.inject(rule("Load", "GetObject", "held", key="round-1/users/"))
    wake()
    between.until_met("held")
    between.restart()
    # Its execution is gone, no event has reported it, and the claim still exists.
    assert between.states.describe_execution(executionArn=execution)["status"] == "FAILED"
    (record,) = [r for r in between.records() if r["execution_arn"] == execution]
    assert record["status"] == "RUNNING"

    between.stop_faults()
    ran = between.run(batch_input)
    assert ran.status == "SUCCEEDED", ran.cause
    assert ran.record["batch_id"] == record["batch_id"]
    assert states(between.items()) == fault_free_run.after
    assert_accounts_for_all(ran, len(SECOND))
