"""The user's own names of uploaded files, in lines and sentences."""

import json

import boto3
import pytest
from moto import mock_aws

from kalmap.store.objects import Objects
from kalmap_cli.file_names import FileNames
from kalmap_cli.inputs import as_input
from kalmap_cli.stack import Stack
from kalmap_cli.upload import Upload, upload_files


@pytest.fixture
def s3():
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="work")
        yield client


def uploaded(s3, *files):
    stack = Stack("machine", "work", "states", "batches")
    prefix = upload_files(lambda _: s3, stack, [Upload(as_input(file)) for file in files])
    return [item["Key"] for item in Objects(s3, "work").listing(prefix)]


def test_lines_and_sentences_contain_the_users_file_names(s3, tmp_path):
    files = []
    for folder in ("a b", "März"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "own.csv")
        files[-1].write_text("x")
    first, second = uploaded(s3, *files)
    names = FileNames(Objects(s3, bucket := "work"))
    lines = [b'{"file":"%s","line":2}' % key.encode() for key in (second, first, "other.csv")]
    assert [json.loads(line)["file"] for line in names.rename_lines(lines)] == [
        str(files[1]),
        str(files[0]),
        "other.csv",
    ]
    sentence = names.replace_keys(f"s3://{bucket}/{first} is cut off, {second} is not.")
    assert sentence == f"{files[0]} is cut off, {files[1]} is not."
    summary = {"hints": [f"{second} is long."], "readings": {"received": 3}, "reason": None}
    assert names.decode_summary(json.dumps(summary).encode()) == summary | {
        "hints": [f"{files[1]} is long."]
    }


def test_an_upload_without_names_is_reported_by_its_key(s3):
    key = f"uploads/{'0' * 32}/000-own.csv"
    names = FileNames(Objects(s3, "work"))
    assert names.name_of(key) == key
    assert names.replace_keys(f"{key} is empty.") == f"{key} is empty."
