"""Bytes of the very version that a batch began with, from the local cloud's S3."""

import uuid

import boto3
import pytest

from kalmap.errors import InputChanged
from kalmap.store.objects import Objects
from tests.local_dynamodb import endpoint

BODY = b"user_id,timestamp,value\n" + bytes(range(256)) * 9000


@pytest.fixture(scope="module")
def bucket():
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint(),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
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
