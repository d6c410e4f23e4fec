"""Reads from the local cloud's S3 return the version of an object that a batch began with."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from kalmap.batch.inline import is_named_by_its_content, store_records
from kalmap.errors import InputChanged
from kalmap.store.objects import Objects
from tests.support.dynamodb import endpoint

BODY = b"user_id,timestamp,value\n" + bytes(range(256)) * 9000


@pytest.fixture(scope="module")
def bucket():
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint(),
        region_name="us-east-1",
    )
    name = f"versioned-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=name, Key="k", Body=BODY)
    return Objects(s3, name)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 24), (24, len(BODY)), (0, len(BODY)), (2**20 - 1, 2**20 + 1), (70_000, 2**21), (7, 8)],
)
@pytest.mark.parametrize("by_version", [True, False])
def test_a_range_of_a_version_holds_its_bytes_and_no_others(bucket, start, end, by_version):
    head = bucket.head("k")
    version = head["VersionId"] if by_version else None
    assert bucket.get_pinned("k", head["ETag"], version, start, end) == BODY[start:end]


def test_a_version_stays_readable_once_it_was_replaced(bucket):
    bucket.put("replaced", b"first")
    head = bucket.head("replaced")
    bucket.put("replaced", b"second")
    assert bucket.get_pinned("replaced", head["ETag"], head["VersionId"], 1, 3) == b"ir"
    with pytest.raises(InputChanged, match="replaced after the batch began"):
        bucket.get_pinned("replaced", head["ETag"], None, 1, 3)


RECORDS = [{"user_id": "u-1", "value": 10**30}, {"user_id": "\ud800"}, ["\u00fc"]]


def test_records_are_stored_once_and_again_if_they_would_expire_soon(bucket):
    now = datetime.now(UTC)
    key = store_records(RECORDS, bucket, now)
    assert is_named_by_its_content(bucket.bucket, key, bucket)
    assert [json.loads(line) for line in bucket.get(key).splitlines()] == RECORDS
    first = bucket.head(key)["VersionId"]
    assert store_records(RECORDS, bucket, now + timedelta(hours=1)) == key
    assert bucket.head(key)["VersionId"] == first
    assert store_records(RECORDS, bucket, now + timedelta(days=29)) == key
    assert bucket.head(key)["VersionId"] != first
    # A batch that began with the first version continues to read it after its deletion.
    bucket._client.delete_object(Bucket=bucket.bucket, Key=key, VersionId=first)
    assert bucket.get_pinned(key, "", None, 0, 9) == b'{"user_id'


def test_only_a_hash_in_the_work_bucket_is_named_by_its_content(bucket):
    key = f"inline/{'0' * 64}.jsonl"
    assert is_named_by_its_content(bucket.bucket, key, bucket)
    assert not is_named_by_its_content("another", key, bucket)
    for other in (f"x{key}", f"{key}x", "inline/mine.jsonl", key.upper()):
        assert not is_named_by_its_content(bucket.bucket, other, bucket)
