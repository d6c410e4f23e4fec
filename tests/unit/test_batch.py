"""A batch's input in its three forms, and the identity that makes it run once."""

from datetime import UTC, datetime

import boto3
import msgspec
import pytest
from moto import mock_aws

from kalmap.batch.folder import Folder
from kalmap.batch.identity import (
    Batch,
    BatchInput,
    InputObject,
    Limits,
    Source,
    identity,
    read_input,
)
from kalmap.errors import InvalidInput
from kalmap.profile import builtin_profile
from kalmap.store.objects import Objects

OPTIONS = {"source": {"bucket": "b", "key": "k"}}
OBJECT = InputObject("b", "k", 10, "etag", "v1")


def test_only_the_source_is_required():
    read = read_input(OPTIONS)
    assert (read.profile, read.write_mode) == ("body-weight", "conditional")
    assert read.limits == Limits(failed_shards=0.0, unusable=0.2)
    assert read.adopt_profile is False
    assert read.now is None


def test_a_custom_event_and_start_execution_are_the_same_batch():
    event = {"source": "my.app", "detail-type": "kalmap", "detail": OPTIONS}
    assert read_input(event) == read_input(OPTIONS)


def test_an_s3_event_names_the_version_that_was_put():
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "b"}, "object": {"key": "incoming/a b", "version-id": "v9"}},
    }
    assert read_input(event).source == Source(bucket="b", key="incoming/a b", version_id="v9")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "no source"),
        ({"source": {"bucket": "b"}}, "exactly one"),
        ({"source": {"bucket": "b", "key": "k", "prefix": "p"}}, "key and prefix"),
        ({"source": {"key": "k"}}, "no bucket"),
        (OPTIONS | {"profil": "x"}, "profil"),
        (OPTIONS | {"write_mode": "fast"}, "write_mode"),
        (OPTIONS | {"now": "2026-03-01T07:12:00"}, "offset"),
        (OPTIONS | {"now": "9999-12-31T23:59:59-23:59"}, "years 1 to 9999"),
        (OPTIONS | {"limits": {"failed_shards": -0.1}}, "failed_shards"),
        ({"source": "aws.s3", "detail": {}}, "bucket name"),
    ],
)
def test_a_wrong_input_is_refused_in_a_sentence_that_names_the_field(options, word):
    with pytest.raises(InvalidInput, match=word):
        read_input(options)


def identified(objects=(OBJECT,), digest=b"12345678", **options):
    batch_input = msgspec.structs.replace(BatchInput(source=Source()), **options)
    return identity(list(objects), digest, batch_input)


def replaced(**fields):
    return [msgspec.structs.replace(OBJECT, **fields)]


def test_the_same_content_profile_and_options_are_the_same_batch():
    assert identified() == identified()
    assert identified() == identified(replaced(size=11)), "a size follows from the version"
    assert identified() == identified(replaced(etag="other")), "a version pins the content"
    assert identified(replaced(version_id=None)) == identified(replaced(version_id=None))


@pytest.mark.parametrize(
    "other",
    [
        identified(replaced(version_id="v2")),
        identified(replaced(version_id=None)),
        identified(replaced(key="l")),
        identified([OBJECT, OBJECT]),
        identified(digest=b"87654321"),
        identified(write_mode="none"),
        identified(limits=Limits(unusable=0.3)),
        identified(adopt_profile=True),
        identified(results="parquet"),
        identified(now=datetime(2026, 3, 1, tzinfo=UTC)),
        identified(retry_of="b"),
    ],
)
def test_a_batch_with_other_content_or_options_has_another_id(other):
    assert other != identified()


def test_without_versions_the_etag_distinguishes_contents():
    assert identified(replaced(version_id=None)) != identified(
        replaced(version_id=None, etag="other")
    )


@mock_aws
def test_a_batch_of_an_earlier_version_without_inputs_json_can_be_run_again():
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="work")
    folder = Folder(Objects(client, "work"), "batches/1/first")
    batch = Batch(
        "1", "first", builtin_profile("body-weight"), "conditional", Limits(), False, 0, ""
    )
    earlier = msgspec.to_builtins(batch) | {"objects": msgspec.to_builtins([OBJECT])}
    folder.objects.put(folder.key("batch.json"), msgspec.json.encode(earlier))
    assert folder.batch() == batch
    assert folder.inputs() == [OBJECT]
    later = InputObject("b", "later", 10, "etag")
    folder.save_batch(batch, [later])
    assert folder.inputs() == [later]
