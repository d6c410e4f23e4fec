"""The objects of S3. All data that passes from step to step goes through this module."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kalmap.errors import InputChanged, InputNotFound

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

#: Requests that one worker has in flight. S3 answers after 20 to 200 ms, so one request after the
#: other is too slow. With many more, forty workers would exceed what S3 allows for one prefix.
IN_FLIGHT = 8
_PART_BYTES = 1 << 20
T = TypeVar("T")
R = TypeVar("R")
_MISSING = {"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "404", "NotFound"}


class ObjectVersion(NamedTuple):
    """One version of an object."""

    key: str
    id: str
    current: bool
    """Whether no newer one has replaced it."""
    modified: datetime


def at_once(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do work that waits for S3 on several items at a time, and return results in their order."""
    listed = list(items)
    if len(listed) <= 1:
        return [work(item) for item in listed]
    with ThreadPoolExecutor(min(IN_FLIGHT, len(listed))) as pool:
        return list(pool.map(work, listed))


class Objects:
    """The objects of one bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self.bucket = bucket
        self.gets = 0
        """Reads, as S3 bills them. With `puts` they make up the summary's cost."""
        self.puts = 0
        """Writes and listings."""
        self._counting = Lock()

    def get(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        """Read an object's bytes, or those of [start, end).

        Raises:
            InputNotFound: There is no such object.
        """
        extra = {} if start is None or end is None else {"Range": f"bytes={start}-{end - 1}"}
        data: bytes = self._stream(key, **extra).read()
        return data

    def find(self, key: str) -> bytes | None:
        """Read an object's bytes; None if there is no such object."""
        try:
            return self.get(key)
        except InputNotFound:
            return None

    def lines(self, key: str) -> Iterator[bytes]:
        """Stream an object's lines."""
        stream = self._stream(key)
        yield from stream.iter_lines(chunk_size=_PART_BYTES)

    def put(self, key: str, content: bytes | bytearray) -> None:
        """Write an object."""
        self.puts += 1
        self._client.put_object(Bucket=self.bucket, Key=key, Body=content)  # type: ignore[arg-type]

    def keys(self, prefix: str) -> Iterator[str]:
        """List all keys below a prefix, sorted."""
        for item in self.listing(prefix):
            yield item["Key"]

    def listing(self, prefix: str) -> Iterator[dict[str, Any]]:
        """List key, size and etag of all objects below a prefix, sorted by key."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            self.puts += 1
            yield from page.get("Contents", [])  # type: ignore[misc]

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """List all versions of all objects below a prefix, sorted by key."""
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self.bucket, Prefix=prefix):
            self.puts += 1
            for item in page.get("Versions", []):
                yield ObjectVersion(
                    item["Key"], item["VersionId"], item["IsLatest"], item["LastModified"]
                )

    def get_version(self, version: ObjectVersion) -> bytes:
        """Read the bytes of one version of an object.

        Raises:
            InputNotFound: There is no such version.
        """
        data: bytes = self._get_object(version.key, VersionId=version.id)["Body"].read()
        return data

    def delete_version(self, version: ObjectVersion) -> None:
        """Delete one version of an object for good. If there is none, nothing happens."""
        self.puts += 1
        self._client.delete_object(Bucket=self.bucket, Key=version.key, VersionId=version.id)

    def head(self, key: str, version_id: str | None = None) -> dict[str, Any]:
        """Read size, etag and version of an object, or of one version of it.

        Raises:
            InputNotFound: There is no such object.
        """
        self._count_get()
        try:
            extra = {"VersionId": version_id} if version_id else {}
            return dict(self._client.head_object(Bucket=self.bucket, Key=key, **extra))  # type: ignore[arg-type]
        except self._client.exceptions.ClientError as error:
            self._raise_if_missing(error, key)
            raise

    def get_pinned(
        self, key: str, etag: str, version_id: str | None, start: int, end: int
    ) -> bytes:
        """Read the bytes [start, end) of the version of an object that was identified.

        Without etag and version: of the newest version.

        Raises:
            InputChanged: That version no longer exists.
        """
        return b"".join(self.stream_pinned(key, etag, version_id, start, end))

    def stream_pinned(
        self, key: str, etag: str, version_id: str | None, start: int, end: int
    ) -> Iterator[bytes]:
        """Read as `get_pinned` does, in parts."""
        pins = {"VersionId": version_id, "IfMatch": None if version_id else etag}
        extra = {name: pin for name, pin in pins.items() if pin}
        try:
            response = self._get_object(key, Range=f"bytes={start}-{end - 1}", **extra)
        except InputNotFound as error:
            raise InputChanged(f"{error} It existed when the batch began.") from error
        except self._client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in {"PreconditionFailed", "412"}:
                raise InputChanged(
                    f"s3://{self.bucket}/{key} was replaced after the batch began. Start it again."
                ) from error
            raise
        parts = response["Body"].iter_chunks(_PART_BYTES)
        # A server may ignore the range (RFC 9110, section 14.2). ministack does so if the request
        # names a version.
        yield from parts if "ContentRange" in response else _byte_range(parts, start, end)

    def _count_get(self) -> None:
        with self._counting:
            self.gets += 1

    def _stream(self, key: str, **extra: str) -> Any:
        return self._get_object(key, **extra)["Body"]

    def _get_object(self, key: str, **extra: str) -> Any:
        self._count_get()
        try:
            return self._client.get_object(Bucket=self.bucket, Key=key, **extra)  # type: ignore[arg-type]
        except self._client.exceptions.ClientError as error:
            self._raise_if_missing(error, key)
            raise

    def _raise_if_missing(self, error: Any, key: str) -> None:
        code = error.response["Error"]["Code"]
        if code in _MISSING:
            raise InputNotFound(f"There is no object s3://{self.bucket}/{key}.") from error
        if code == "InvalidRange":
            raise InputNotFound(f"The object s3://{self.bucket}/{key} is cut off.") from error


#: Opens a bucket by its name.
OpenBucket = Callable[[str], Objects]


def _byte_range(parts: Iterable[bytes], start: int, end: int) -> Iterator[bytes]:
    """Cut the bytes [start, end) out of the whole that the parts make together."""
    position = 0
    for part in parts:
        if piece := part[max(start - position, 0) : max(end - position, 0)]:
            yield piece
        position += len(part)
