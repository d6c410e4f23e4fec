"""Permanent faults: when a batch commits, when it does not, and what it reports."""

import gzip

import pytest

from kalmap_cli.reporting.execution_view import view_execution
from tests.support.faults import WRITE, rule
from tests.support.faulty_cloud import assert_accounts_for_all, states
from tests.support.two_batches import NOW, SECOND, assert_equals_fault_free_run, batch, jsonl

ALWAYS = {"last": 99}


def run_again(cloud, batch_input, fault_free_run):
    """The same start once more, with nothing failing: the fault-free run's states."""
    cloud.stop_faults()
    again = cloud.run(batch_input)
    assert again.status == "SUCCEEDED", again.cause
    assert states(cloud.items()) == fault_free_run.after
    assert_accounts_for_all(again, len(SECOND))
    return again


#: Faults after which nothing may have been stored: rules, and words of the reason.
CLOSED = {
    "a chunk that always fails": (
        [rule("Partition", "PutObject", "500", key=r"partitions/000000\.bin", **ALWAYS)],
        "1 chunk",
    ),
    "a shard that cannot be loaded": (
        [rule("Load", "PutObject", "500", key=r"000002\.loaded$", **ALWAYS)],
        "1 of 3 shards failed",
    ),
    "a shard that cannot be filtered": (
        [rule("Filter", "PutObject", "500", key="results/000001", **ALWAYS)],
        "1 of 3 shards failed",
    ),
    "a partition that is missing": (
        [rule("Partition", "PutObject", "not stored", key=r"partitions/000000\.bin")],
        "of 3 shards failed",
    ),
    "a partition that is cut off": (
        [rule("Partition", "PutObject", "stored truncated", key=r"partitions/000000\.bin")],
        "of 3 shards failed",
    ),
    "a snapshot that is cut off": (
        [rule("Load", "PutObject", "stored truncated", key=r"\.loaded$")],
        "1 of 3 shards failed",
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_permanent_failure_commits_nothing_and_is_reported(name, between, fault_free_run):
    rules, words = CLOSED[name]
    batch_input = batch(between.put(jsonl(SECOND)))
    between.inject(*rules)
    ran = between.run(batch_input)
    assert (ran.status, ran.record["status"]) == ("FAILED", "FAILED")
    assert words in ran.cause
    assert ran.cause == ran.record["reason"] == ran.summary["reason"]
    assert ran.cause.endswith("No state was changed.")
    assert between.items() == fault_free_run.before
    assert ran.summary["failed_shards"] or ran.summary["failed_chunks"]
    assert_accounts_for_all(ran, len(SECOND))
    run_again(between, batch_input, fault_free_run)


def test_within_the_limit_other_shards_commit_and_a_retry_completes_the_batch(
    between, fault_free_run
):
    between.inject(rule("Filter", "PutObject", "500", key="results/000001", **ALWAYS))
    ran = between.run(batch(between.put(jsonl(SECOND)), limits={"failed_shards": 0.4}))
    assert ran.status == "SUCCEEDED"
    assert_accounts_for_all(ran, len(SECOND))
    assert [failure["number"] for failure in ran.summary["failed_shards"]] == [1]
    seen = view_execution(between.cloud.clients, ran.execution)
    assert seen is not None
    [filtered] = [visit for visit in seen.visits if visit.state == "FilterUsers"]
    assert filtered.items is not None
    assert (filtered.items.failed, filtered.retries) == (1, 2)
    failed = {result["user_id"] for result in ran.decoded if result["status"] == "failed"}
    assert failed
    assert ran.summary["users"]["failed"] == len(failed)
    before = states(fault_free_run.before)
    assert states(between.items()) == {
        user: before[user] if user in failed else state
        for user, state in fault_free_run.after.items()
        if user not in failed or user in before
    }

    between.stop_faults()
    again = between.run({"retry_of": ran.record["batch_id"], "now": NOW})
    assert again.status == "SUCCEEDED"
    assert {result["user_id"] for result in again.decoded} == failed
    assert_accounts_for_all(again, ran.counts["failed", "shard_failed"])
    assert states(between.items()) == fault_free_run.after


@pytest.mark.parametrize(
    "rules",
    [
        [rule("Write", "GetObject", "500", key=r"000001\.changed$", **ALWAYS)],
        [rule("Filter", "PutObject", "stored truncated", key=r"000001\.changed$")],
        [rule("Write", WRITE, "killed after", **ALWAYS)],
    ],
    ids=["unreachable", "cut off", "killed after each request"],
)
def test_a_shard_that_cannot_be_written_fails_the_batch_and_its_users_are_reported(
    rules, between, fault_free_run
):
    batch_input = batch(between.put(jsonl(SECOND)))
    between.inject(*rules)
    ran = between.run(batch_input)
    assert (ran.status, ran.record["status"]) == ("FAILED", "FAILED")
    assert "could not be committed" in ran.cause
    assert_accounts_for_all(ran, len(SECOND))
    failed = {result["user_id"] for result in ran.decoded if result["status"] == "failed"}
    after, before = states(between.items()), states(fault_free_run.before)
    for user in fault_free_run.after:
        # Exactly the users whose state has not changed are reported as failed.
        assert after.get(user) == (
            before.get(user) if user in failed else fault_free_run.after[user]
        )
    changed = sum(state != before.get(user) for user, state in after.items())
    assert changed == ran.summary["users"]["changed"]
    assert f"The states of {changed} users had been written before." in ran.cause
    again = run_again(between, batch_input, fault_free_run)
    assert again.summary["users"]["changed"] == fault_free_run.changed - changed


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_an_input_that_changes_after_the_batch_began_commits_nothing(
    change, between, fault_free_run
):
    source = between.put(jsonl(SECOND), key=f"in/{change}/a.jsonl")
    # Found below a prefix an object is pinned by its etag, since a listing gives no versions.
    batch_input = batch({"bucket": source["bucket"], "prefix": f"in/{change}/"})
    between.inject(rule("PlanFunction", "PutObject", "held", key="plan.json"))
    execution = between.begin(batch_input)
    between.until_met("held")
    if change == "removed":
        between.s3.delete_object(Bucket=source["bucket"], Key=source["key"])
    else:
        between.put(b"{}", key=source["key"])
    between.let_go()
    ran = between.end(execution)
    assert ran.status == "FAILED"
    assert "when the batch began" in ran.cause or "after the batch began" in ran.cause
    assert between.items() == fault_free_run.before
    assert ran.summary["failed_chunks"]


def test_an_input_named_by_its_key_is_read_as_it_was_when_the_batch_began(between, fault_free_run):
    source = between.put(jsonl(SECOND))
    between.inject(rule("PlanFunction", "PutObject", "held", key="plan.json"))
    execution = between.begin(batch(source))
    between.until_met("held")
    between.put(b"{}", key=source["key"])
    between.s3.delete_object(Bucket=source["bucket"], Key=source["key"])
    between.let_go()
    assert_equals_fault_free_run(between, between.end(execution), fault_free_run)


def test_a_gzipped_input_that_is_cut_off_commits_nothing(between, fault_free_run):
    complete = gzip.compress(jsonl(SECOND))
    ran = between.run(batch(between.put(complete[: len(complete) // 2], key="in/cut.jsonl.gz")))
    assert ran.status == "FAILED"
    assert "in/cut.jsonl.gz is truncated: its gzip stream does not end." in ran.cause
    assert between.items() == fault_free_run.before
    assert len(between.failure_messages(ran.execution)) == 1
