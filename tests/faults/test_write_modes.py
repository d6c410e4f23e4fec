"""The other two ways to write, under faults, in the workers of a whole batch."""

from tests.support.faults import rule
from tests.support.faulty_cloud import assert_accounts_for_all, states
from tests.support.two_batches import SECOND, assert_equals_fault_free_run, batch, jsonl


def test_transactions_under_faults_equal_the_fault_free_run(between, fault_free_run):
    write = "TransactWriteItems"
    between.inject(
        rule("Write", write, "throttled"),
        rule("Write", write, "cut after", first=2),
        rule("Write", write, "500 after", first=3),
        rule("Write", write, "killed after", first=4),
    )
    ran = between.run(batch(between.put(jsonl(SECOND)), write_mode="transactional"))
    assert between.met().total() == 4
    assert_equals_fault_free_run(between, ran, fault_free_run)
    assert ran.summary["write_mode"] == "transactional"


def test_items_left_unprocessed_in_an_overwrite_are_written_in_the_end(between, fault_free_run):
    batch_input = batch(between.put(jsonl(SECOND)), write_mode="overwrite")
    alone = between.run(batch_input)
    assert alone.status == "SUCCEEDED"
    overwritten = states(between.items())
    between.restore(fault_free_run.before)
    between.inject(
        # Killed first: the report does not count what a worker did before.
        rule("Write", "BatchWriteItem", "killed after"),
        rule("Write", "BatchWriteItem", "half left undone", first=2, last=7),
        rule("Write", "BatchWriteItem", "cut after", first=8),
    )
    # Under another key: the batch would be claimed already.
    ran = between.run(batch_input | {"source": between.put(jsonl(SECOND))})
    assert ran.status == "SUCCEEDED"
    assert between.met()["half left undone"] == 6
    assert states(between.items()) == overwritten
    assert ran.results == alone.results
    assert_accounts_for_all(ran, len(SECOND))
    assert ran.summary["users"] == alone.summary["users"]
    assert ran.summary["database"]["throttles"] > 0


def test_a_rehearsal_under_faults_writes_no_states(between, fault_free_run):
    between.inject(
        rule("Load", "BatchGetItem", "half left undone", last=2),
        rule("Filter", "PutObject", "killed after"),
    )
    ran = between.run(batch(between.put(jsonl(SECOND)), write_mode="none"))
    assert (ran.status, ran.summary["status"]) == ("SUCCEEDED", "rehearsed")
    assert ran.results == fault_free_run.ran.results
    assert between.items() == fault_free_run.before
