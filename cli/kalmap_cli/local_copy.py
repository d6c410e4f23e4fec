"""A batch's lines copied from S3 into a folder, to be merged from there.

A batch has a file of results for each of up to some thousand shards. Merging them straight from
S3 would keep a connection to each, for as long as the merging takes. Here a few are open at a
time, and one that breaks goes on where it broke.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError, IncompleteReadError

from kalmap.store.objects import Objects, at_once

#: Tries in a row in which nothing of an object comes.
_TRIES = 5
#: What is read of a file at a time: with thousands of files, this much of each is in memory.
_BLOCK_BYTES = 16 * 1024


class LocalCopy:
    """The objects below a prefix, as far as they are wanted; what merging needs of a bucket.

    Args:
        objects: the bucket.
        prefix: what the objects' keys begin with.
        wanted: tells by its key whether an object is copied.
        folder: gets a file for each; exists, and is empty.
    """

    def __init__(
        self, objects: Objects, prefix: str, wanted: Callable[[str], bool], folder: Path
    ) -> None:
        found = [item for item in objects.listing(prefix) if wanted(item["Key"])]
        self._paths = {item["Key"]: folder / str(n) for n, item in enumerate(found)}
        at_once(lambda item: _copy(objects, item, self._paths[item["Key"]]), found)

    def keys(self, prefix: str) -> Iterator[str]:
        """The copied objects' keys below a prefix, sorted."""
        return (key for key in self._paths if key.startswith(prefix))

    def lines(self, key: str) -> Iterator[bytes]:
        """A copied object's lines. No file is open between two of them."""
        path, at, rest = self._paths[key], 0, b""
        while True:
            with path.open("rb") as file:
                file.seek(at)
                block = file.read(_BLOCK_BYTES)
            if not block:
                break
            at += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
        if rest:
            yield rest


def _copy(objects: Objects, item: dict[str, Any], path: Path) -> None:
    """Copy one object; a connection that breaks is made again for what is missing."""
    key, etag, size = item["Key"], item["ETag"], item["Size"]
    fruitless = 0
    with path.open("wb") as file:
        while (at := file.tell()) < size:
            trouble: Exception = IncompleteReadError(actual_bytes=at, expected_bytes=size)
            try:
                for part in objects.stream_pinned(key, etag, None, at, size):
                    file.write(part)
            except (HTTPClientError, NoConnectionError, IncompleteReadError) as error:
                trouble = error
            fruitless = 0 if file.tell() > at else fruitless + 1
            if fruitless == _TRIES:
                raise trouble
