"""A batch of very many shards is fetched with few open files, and goes on where it broke."""

import json
import os
import resource
import uuid
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from kalmap.store.objects import Objects, at_once
from kalmap_cli.local_copy import LocalCopy
from kalmap_cli.results_folder import fetch_results
from tests.support.connections import cutting_proxy
from tests.support.dynamodb import endpoint

BATCH = "1" * 32
SHARDS, LINES = 1000, 30


def client(address):
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    made = boto3.client("s3", endpoint_url=address, config=config)
    # The process knows its own address only, not that of what stands between.
    made.meta.events.register("before-sign.s3", name_the_process)
    return made


def name_the_process(request, **_):
    request.headers["Host"] = urlsplit(endpoint()).netloc


@pytest.fixture
def objects():
    s3 = client(endpoint())
    bucket = f"work-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    return Objects(s3, bucket)


@pytest.fixture
def few_descriptors():
    """As many more open files as macOS allows; other tests of this process hold some, too."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = max(map(int, os.listdir("/dev/fd")))  # noqa: PTH208 - only the numbers
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 200, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def put_shard(objects, shard):
    lines = [b'{"index":%d,"shard":%d}\n' % (n * SHARDS + shard, shard) for n in range(LINES)]
    objects.put(f"{BATCH}/round-0/results/{shard:06d}.jsonl", b"".join(lines))


def test_a_thousand_shards_are_merged_in_order_with_few_open_files(
    objects, few_descriptors, tmp_path, monkeypatch
):
    # A shard's file has usually more than is read at a time.
    monkeypatch.setattr("kalmap.store.objects._PART_BYTES", 256)
    at_once(lambda shard: put_shard(objects, shard), range(SHARDS))
    objects.put(f"{BATCH}/summary.json", json.dumps({"batch_id": BATCH}).encode())
    fetched = fetch_results(objects, BATCH, tmp_path / "out")
    lines = fetched.results.read_bytes().splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(SHARDS * LINES))
    assert not list((tmp_path / "out").glob(".*"))


def test_a_connection_that_breaks_in_the_middle_is_made_again_for_the_rest(objects, tmp_path):
    lines = [b"%d" % n for n in range(300_000)]
    objects.put("b/failed/0.jsonl", b"\n".join(lines))
    with cutting_proxy(endpoint(), cuts=4, after=700_000) as address:
        broken = Objects(client(address), objects.bucket)
        # The listing is the first answer, and is smaller.
        copy = LocalCopy(broken, "b/", lambda key: True, tmp_path)
    assert list(copy.lines("b/failed/0.jsonl")) == lines
    assert 3 <= broken.gets <= 5


def test_an_object_replaced_during_the_download_is_never_a_mixture(objects, tmp_path):
    objects.put("b/failed/0.jsonl", b"a" * 1000)
    listed = list(objects.listing("b/"))
    objects.put("b/failed/0.jsonl", b"b" * 1000)
    objects.listing = lambda prefix: iter(listed)
    with pytest.raises(Exception, match="was replaced"):
        LocalCopy(objects, "b/", lambda key: True, tmp_path)
