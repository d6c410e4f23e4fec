"""The bodies of objects stay on disk: they are read in ranges and sent in parts.

ministack keeps the body of each version of an object in memory until it ends. A read of a range
takes the whole body from the disk, and a read of a range of a version returns the whole object. A
file that is read in chunks was therefore sent as often as it has chunks. Here a body is dropped
from memory once it is on disk. A read opens its file and sends what was asked for.
"""

import io
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import StreamingResponse
from ministack.services import s3

#: Larger bodies are sent in parts of this size.
PART_BYTES = 2**20

_Response = tuple[int, dict[str, str], Any]

#: Whether a body is read to be sent. Everything else that reads bodies needs bytes.
_is_sent: ContextVar[bool] = ContextVar("is_sent", default=False)


def install() -> None:
    """Let ministack's S3 read bodies from the disk, if it stores them there."""
    if s3.S3_PERSIST:
        _drop_stored_bodies()
        _open_bodies()
        _send_ranges()


class StoredBody:
    """The bytes of an object's file from `start` on, with what ministack uses of `bytes`.

    It has the file open, so it stays the same when the object is replaced or deleted.
    """

    def __init__(self, file: io.FileIO, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> "StoredBody":
        start, stop, _ = part.indices(self._length)
        return StoredBody(self._file, self._start + start, max(stop - start, 0))

    def read(self, start: int, length: int) -> bytes:
        """Read bytes.

        Raises:
            OSError: The file is shorter than it was.
        """
        self._file.seek(self._start + start)
        wanted = min(length, self._length - start)
        content = self._file.read(wanted) or b""
        if len(content) < wanted:
            raise OSError(f"{self._file.name!r} was cut off")
        return content

    async def send(self, send: Any, _: Any) -> None:
        """Send everything as the body of a response."""
        for start in range(0, self._length, PART_BYTES):
            part = self.read(start, PART_BYTES)
            more = start + len(part) < self._length
            await send({"type": "http.response.body", "body": part, "more_body": more})


def _drop_stored_bodies() -> None:
    """After an object is on disk, drop the body of its version, as ministack drops the object's."""
    persist = s3._persist_object  # noqa: SLF001 - the version is pinned exactly

    def persist_and_drop(bucket: str, key: str, stored: Any) -> None:
        persist(bucket, key, stored)
        if isinstance(stored, dict) and stored.get("body") is None:
            identity = stored.get("version_id") or "null"
            for version in s3._object_versions.get((bucket, key), ()):  # noqa: SLF001
                if version["version_id"] == identity:
                    version["data"] = None

    s3._persist_object = persist_and_drop  # noqa: SLF001


def _open_bodies() -> None:
    """Open the file of a body that is sent, instead of reading it."""
    read_body, version_body = s3._read_body, s3._version_body  # noqa: SLF001

    def opened_body(bucket: str, key: str, stored: Any) -> Any:
        path = s3._object_disk_path(bucket, key)  # noqa: SLF001
        in_memory = stored.get("body") is not None
        return (not in_memory and _opened(path)) or read_body(bucket, key, stored)

    def opened_version(current: Any, bucket: str, key: str, version: Any) -> Any:
        if version.get("data") is None:
            path = s3._version_disk_path(bucket, key, version["version_id"])  # noqa: SLF001
            if body := _opened(path):
                return body
        return version_body(current, bucket, key, version)

    s3._read_body, s3._version_body = opened_body, opened_version  # noqa: SLF001


def _opened(path: str | None) -> StoredBody | None:
    if path is None or not _is_sent.get():
        return None
    try:
        file = io.FileIO(path)
        length = file.seek(0, io.SEEK_END)
    except OSError:
        # ministack reports it, or looks elsewhere.
        return None
    return StoredBody(file, 0, length)


def _send_ranges() -> None:
    get = s3._get_object  # noqa: SLF001

    def get_opened(bucket: str, key: str, headers: Any, parameters: Any = None) -> _Response:
        if not headers:
            # A service of ministack reads for itself.
            response: _Response = get(bucket, key, headers, parameters)
            return response
        token = _is_sent.set(True)
        try:
            status, response_headers, body = get(bucket, key, headers, parameters)
        finally:
            _is_sent.reset(token)
        wanted = headers.get("range", "")
        if wanted and status == 200:
            status, response_headers, body = _range(bucket, key, wanted, response_headers, body)
        if isinstance(body, StoredBody):
            if len(body) <= PART_BYTES:
                body = body.read(0, PART_BYTES)
            else:
                response_headers["Content-Length"] = str(len(body))
                body = StreamingResponse(body.send)
        return status, response_headers, body

    s3._get_object = get_opened  # noqa: SLF001


def _range(bucket: str, key: str, wanted: str, headers: dict[str, str], body: Any) -> _Response:
    """The response for a range of a version, as ministack makes it for the newest version."""
    size = len(body)
    found = s3._parse_range(wanted, size)  # noqa: SLF001
    if found is None:
        error = s3._xml_body(s3._range_error_xml(bucket, key))  # noqa: SLF001
        return 416, {"Content-Type": "application/xml", "Content-Range": f"bytes */{size}"}, error
    start, end = found
    # A checksum of the whole is none of a part.
    kept = {
        name: value
        for name, value in headers.items()
        if not name.lower().startswith("x-amz-checksum-")
    }
    kept["Content-Length"] = str(end + 1 - start)
    kept["Content-Range"] = f"bytes {start}-{end}/{size}"
    return 206, kept, body[start : end + 1]
