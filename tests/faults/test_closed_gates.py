"""Faults that do not pass: what commits, what does not, and what is told about it."""

import json

import pytest

from tests.faults.faulty_cloud import assert_accounts_for_all, states
from tests.faults.test_end_to_end import rule
from tests.faults.two_batches import SECOND, batch, jsonl

ALWAYS = {"last": 99}


def failed_messages(cloud, execution):
    """Messages about an execution in the queue of failed batches."""
    (queue,) = [
        url for url in cloud.queues.list_queues()["QueueUrls"] if "FailedBatchesQueue" in url
    ]
    found = []
    for _ in range(3):
        answer = cloud.queues.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        bodies = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
        found += [body for body in bodies if body["detail"]["executionArn"] == execution]
        for message in answer.get("Messages", []):
            cloud.queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        if found:
            break
    return found


def run_again(cloud, given, quiet):
    """The same start once more, with nothing failing: the quiet run's states."""
    cloud.quiet()
    again = cloud.run(given)
    assert again.status == "SUCCEEDED", again.cause
    assert states(cloud.items()) == quiet.after
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
        "shards failed",
    ),
    "a snapshot that is cut off": (
        [rule("Load", "PutObject", "stored truncated", key=r"\.loaded$")],
        "1 of 3 shards failed",
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_always_fails_commits_nothing_and_is_told(name, between, quiet):
    rules, words = CLOSED[name]
    given = batch(between.put(jsonl(SECOND)))
    between.inject(*rules)
    ran = between.run(given)
    assert (ran.status, ran.record["status"]) == ("FAILED", "FAILED")
    assert words in ran.cause
    assert ran.cause == ran.record["reason"] == ran.summary["reason"]
    assert ran.cause.endswith("No state was changed.")
    assert between.items() == quiet.before
    if "missing" not in name:
        assert_accounts_for_all(ran, len(SECOND))
        assert ran.summary["failed_shards"] or ran.summary["failed_chunks"]
    run_again(between, given, quiet)
