"""Starting a batch by the HTTP API: once, and on the version that was identified."""

from datetime import UTC, datetime

import boto3
import msgspec
import pytest
from moto import mock_aws

from kalmap.api.batches import find_batch, start_batch
from kalmap.errors import InputNotFound
from kalmap.store.objects import Objects
from kalmap.store.ports import BatchRecord

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LINE = b'{"user_id": "u", "timestamp": "2026-02-01T00:00:00Z", "value": 80.0}\n'


class Records:
    """The one method of a table of batches that is used here."""

    def __init__(self):
        self.by_id = {}

    def get(self, batch_id):
        return self.by_id.get(batch_id)


@pytest.fixture
def work():
    with mock_aws():
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="work")
        s3.put_bucket_versioning(Bucket="work", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="work", Key="in/a.jsonl", Body=LINE)
        yield Objects(s3, "work")


@pytest.fixture
def start(work):
    """Starts the batch of in/a.jsonl; gives the answer and the inputs of started executions."""

    def start(records):
        inputs = []

        def start_execution(name, text):
            inputs.append(msgspec.json.decode(text))
            return f"arn:{name}"

        options = {"source": {"bucket": "work", "key": "in/a.jsonl"}}
        started = start_batch(
            options,
            execution="e-1",
            now=NOW,
            work=work,
            bucket=lambda _: work,
            records=records,
            start=start_execution,
        )
        return started, inputs

    return start


def test_a_new_batch_is_started_on_the_version_that_was_identified(start, work):
    version = work.head("in/a.jsonl")["VersionId"]
    started, [batch_input] = start(Records())
    assert (started.status, started.execution_arn) == ("STARTING", "arn:e-1")
    assert batch_input["source"]["version_id"] == version


@pytest.mark.parametrize(
    ("status", "executions"), [("RUNNING", 0), ("SUCCEEDED", 0), ("FAILED", 1)]
)
def test_a_batch_is_started_again_only_if_it_has_failed(start, status, executions):
    records = Records()
    batch_id = start(records)[0].batch_id
    records.by_id[batch_id] = BatchRecord(
        batch_id=batch_id,
        status=status,
        execution="e-0",
        execution_arn="arn:e-0",
        prefix=f"batches/{batch_id}/e-0",
    )
    started, inputs = start(records)
    assert len(inputs) == executions
    assert started.batch_id == batch_id
    assert started.execution_arn == ("arn:e-1" if executions else "arn:e-0")


def test_a_batch_is_found_before_it_has_a_record(start, work):
    batch_id = start(Records())[0].batch_id
    assert find_batch(batch_id, Records(), work) is None
    for unknown in ("0" * 32, "z" * 32, "", batch_id[:8]):
        with pytest.raises(InputNotFound, match="no batch"):
            find_batch(unknown, Records(), work)
