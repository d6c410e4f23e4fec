"""Copy a batch's result objects from S3 into a folder, so that they can be merged there.

A batch has one object of results for each of up to some thousand shards. Merging them directly
from S3 would need an open connection to each, until the merge ends. Copying needs only a few at a
time, and continues after a broken connection from the last byte it has.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError, IncompleteReadError

from kalmap.keys import in_form, results_file
from kalmap.results.table import decode_table
from kalmap.store.objects import Objects, at_once

#: Attempts in a row without a new byte of an object.
_MAX_FRUITLESS = 5
#: Bytes read of a file at a time. With thousands of files, this much of each is in memory.
_BLOCK_BYTES = 16 * 1024


class LocalCopy:
    """Copies of the selected objects below a prefix.

    It has the methods of a bucket that merging needs. Results that are Parquet become lines.

    Args:
        objects: The bucket.
        prefix: The prefix of the objects' keys.
        is_selected: Says for a key whether to copy the object.
        folder: Gets a file for each object. It exists and is empty.
    """

    def __init__(
        self, objects: Objects, prefix: str, is_selected: Callable[[str], bool], folder: Path
    ) -> None:
        items = [item for item in objects.listing(prefix) if is_selected(item["Key"])]
        self._paths = {item["Key"]: folder / str(n) for n, item in enumerate(items)}
        at_once(lambda item: _copy(objects, item, self._paths[item["Key"]]), items)
        # One after the other: a table is in memory as a whole. Lines of all can be read at a time.
        for key in list(self._paths):
            file_ = results_file(key)
            if file_ is None or file_.form == "jsonl":
                continue
            path = self._paths.pop(key)
            lines = decode_table(path.read_bytes())
            self._paths[in_form(key, "jsonl")] = path.with_suffix(".jsonl")
            with path.with_suffix(".jsonl").open("wb") as file:
                file.writelines(line + b"\n" for line in lines)

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys of the copied objects below a prefix, sorted."""
        return (key for key in sorted(self._paths) if key.startswith(prefix))

    def get(self, key: str) -> bytes:
        """The content of a copied object."""
        return self._paths[key].read_bytes()

    def lines(self, key: str) -> Iterator[bytes]:
        """The lines of a copied object. No file stays open between two lines."""
        path, position, incomplete_line = self._paths[key], 0, b""
        while True:
            with path.open("rb") as file:
                file.seek(position)
                block = file.read(_BLOCK_BYTES)
            if not block:
                break
            position += len(block)
            *lines, incomplete_line = (incomplete_line + block).split(b"\n")
            yield from lines
        if incomplete_line:
            yield incomplete_line


def _copy(objects: Objects, item: dict[str, Any], path: Path) -> None:
    """Copy one object. After a broken connection, copy the missing part over a new one."""
    key, etag, size = item["Key"], item["ETag"], item["Size"]
    fruitless = 0
    with path.open("wb") as file:
        while (position := file.tell()) < size:
            failure: Exception = IncompleteReadError(actual_bytes=position, expected_bytes=size)
            try:
                for part in objects.stream_pinned(key, etag, None, position, size):
                    file.write(part)
            except (HTTPClientError, NoConnectionError, IncompleteReadError) as error:
                failure = error
            fruitless = 0 if file.tell() > position else fruitless + 1
            if fruitless == _MAX_FRUITLESS:
                raise failure
