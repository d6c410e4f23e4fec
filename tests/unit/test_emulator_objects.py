"""Objects of the local cloud: bodies stay on disk, and ranges are read."""

import asyncio
import os

import pytest
from ministack.core.responses import StreamingResponse
from ministack.services import s3

from kalmap_cli.local.emulator import object_bodies

BODY = bytes(range(256)) * 20_000
BUCKET = "a-bucket"


@pytest.fixture
def objects(monkeypatch, tmp_path):
    """ministack's S3 as in a local cloud, with a versioned bucket; gives its request handler."""
    for name in ("_persist_object", "_read_body", "_version_body", "_get_object"):
        monkeypatch.setattr(s3, name, getattr(s3, name))
    monkeypatch.setattr(s3, "S3_PERSIST", True)
    monkeypatch.setattr(s3, "DATA_DIR", str(tmp_path))
    before = {id(store): dict(store._data) for store in (s3._buckets, s3._object_versions)}
    object_bodies.install()

    def ask(method, key="", body=b"", headers=None, **parameters):
        asked = {name: [value] for name, value in parameters.items()}
        path = f"/{BUCKET}/{key}".rstrip("/")
        sent = {"host": "s3.us-east-1.amazonaws.com"} | (headers or {})
        return asyncio.run(s3.handle_request(method, path, sent, body, asked))

    ask("PUT")
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    ask("PUT", body=enabled, versioning="")
    yield ask
    for store in (s3._buckets, s3._object_versions):
        store._data.clear()
        store._data.update(before[id(store)])


def sent(response):
    """A response's body, and in how many parts it was sent."""
    body = response[2]
    if not isinstance(body, StreamingResponse):
        return body, 1
    parts = []

    async def send(message):
        parts.append(message)

    asyncio.run(body.runner(send, None))
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    return b"".join(part["body"] for part in parts), len(parts)


def test_a_large_body_is_sent_in_parts_and_is_whole(objects):
    objects("PUT", "k", BODY)
    status, headers, _ = response = objects("GET", "k")
    assert (status, headers["Content-Length"]) == (200, str(len(BODY)))
    assert sent(response) == (BODY, 5)


@pytest.mark.parametrize("of_a_version", [False, True])
@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=1000-2999", slice(1000, 3000)),
        ("bytes=1000000-3999999", slice(1_000_000, 4_000_000)),
        ("bytes=5119000-9999999", slice(5_119_000, None)),
        ("bytes=-7", slice(-7, None)),
    ],
)
def test_a_range_is_read_and_nothing_else(objects, of_a_version, wanted, part):
    _, put, _ = objects("PUT", "k", BODY, headers={"x-amz-checksum-algorithm": "CRC32"})
    named = {"versionId": put["x-amz-version-id"]} if of_a_version else {}
    asked = {"range": wanted, "x-amz-checksum-mode": "ENABLED"}
    status, headers, _ = response = objects("GET", "k", headers=asked, **named)
    assert status == 206
    assert sent(response)[0] == BODY[part]
    start, stop, _ = part.indices(len(BODY))
    assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BODY)}"
    assert headers["Content-Length"] == str(stop - start)
    assert not [name for name in headers if name.lower().startswith("x-amz-checksum")]


@pytest.mark.parametrize("of_a_version", [False, True])
def test_a_range_behind_the_end_is_refused(objects, of_a_version):
    _, put, _ = objects("PUT", "k", b"short")
    named = {"versionId": put["x-amz-version-id"]} if of_a_version else {}
    status, headers, body = objects("GET", "k", headers={"range": "bytes=5-9"}, **named)
    assert (status, headers["Content-Range"]) == (416, "bytes */5")
    assert b"<Code>InvalidRange</Code>" in body


def test_the_memory_holds_no_body_and_every_version_stays_readable(objects):
    """If the first assertion fails, ministack drops bodies itself, and that part is needless."""
    identities = [objects("PUT", "k", text)[1]["x-amz-version-id"] for text in (b"one", b"two")]
    assert all("data" in version for version in s3._object_versions[BUCKET, "k"])
    assert [version["data"] for version in s3._object_versions[BUCKET, "k"]] == [None, None]
    for identity, text in zip(identities, (b"one", b"two"), strict=True):
        assert sent(objects("GET", "k", versionId=identity)) == (text, 1)
    objects("DELETE", "k", versionId=identities[1])
    assert sent(objects("GET", "k")) == (b"one", 1)
    objects("DELETE", "k")
    assert objects("GET", "k")[0] == 404
    assert sent(objects("GET", "k", versionId=identities[0])) == (b"one", 1)


def test_an_object_that_is_replaced_while_it_is_sent_stays_as_it_was(objects):
    objects("PUT", "k", BODY)
    response = objects("GET", "k")
    objects("PUT", "k", BODY[::-1])
    assert sent(response)[0] == BODY


def test_a_file_that_is_cut_off_while_it_is_sent_is_never_a_whole_response(objects, tmp_path):
    objects("PUT", "k", BODY)
    response = objects("GET", "k")
    [path] = tmp_path.rglob("k")
    os.truncate(path, 2**20 + 5)
    with pytest.raises(OSError, match="cut off"):
        sent(response)


def test_a_service_of_ministack_that_reads_an_object_gets_its_bytes(objects):
    objects("PUT", "k", BODY)
    assert s3._get_object(BUCKET, "k", {}, {})[2] == BODY
    assert s3._get_object_data(BUCKET, "k") == BODY


def test_without_the_change_a_range_of_a_version_is_the_whole_object(monkeypatch):
    """If this fails, ministack sends the range itself, and `_range` is needless."""
    version = {"version_id": "v", "is_latest": True} | s3._build_object_record(BODY, {}, etag='"e"')
    monkeypatch.setitem(s3._buckets, BUCKET, {"objects": {}})
    monkeypatch.setitem(s3._object_versions, (BUCKET, "k"), [version | {"data": BODY}])
    asked = {"host": "h", "range": "bytes=0-9"}
    response = s3._get_object(BUCKET, "k", asked, {"versionId": ["v"]})
    assert (response[0], len(response[2])) == (200, len(BODY))
