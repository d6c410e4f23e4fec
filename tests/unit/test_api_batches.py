"""Starting a batch by the HTTP API: once, and on the version that was identified."""

from datetime import UTC, datetime, timedelta

import boto3
import msgspec
import pytest
from moto import mock_aws

from kalmap.api.batches import find_batch, start_batch, view_batch
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


@pytest.fixture
def view(work):
    """Looks at a batch; the table of batches has these records one look after the other."""

    def view(batch_id, *looks, now=NOW, running=()):
        records = Records()
        found = iter((*looks, None))
        records.get = lambda _: next(found)
        return view_batch(
            batch_id,
            now=now,
            records=records,
            work=work,
            sign=lambda *_: "",
            is_running=lambda execution: execution in running,
        )

    return view


def test_a_batch_whose_execution_ended_before_it_claimed_the_batch_has_failed(start, view, work):
    batch_id = start(Records())[0].batch_id
    later = NOW + timedelta(minutes=2)
    assert view(batch_id, None).status == "STARTING"
    assert view(batch_id, None, now=later, running={"e-1"}).status == "STARTING"
    failed = view(batch_id, None, now=later)
    assert failed.status == "FAILED"
    assert "Send the same request again" in failed.reason
    # It has a plan, so it ran, and its record has expired.
    work.put(f"batches/{batch_id}/e-1/plan.json", b"{}")
    with pytest.raises(InputNotFound, match="no batch"):
        view(batch_id, None, now=later)
    # It began, and has a record, between two looks.
    record = BatchRecord(batch_id=batch_id, status="RUNNING", execution="e-1", prefix="batches/b/e")
    assert view(batch_id, None, record, now=later).status == "RUNNING"


def test_a_batch_is_found_before_it_has_a_record(start, work):
    batch_id = start(Records())[0].batch_id
    assert find_batch(batch_id, Records(), work) is None
    for unknown in ("0" * 32, "z" * 32, "", batch_id[:8]):
        with pytest.raises(InputNotFound, match="no batch"):
            find_batch(unknown, Records(), work)
