"""Merging: the lines of the shards' files in the order of the input."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Protocol

from kalmap.keys import (
    EARLIER_UNREADABLE,
    LINES_KEY,
    ROUNDS,
    lines_folder,
    results_file,
)
from kalmap.results.table import decode_table

#: How every line begins.
_INDEX = b'{"index":'


class Bucket(Protocol):
    """The part of the S3 adapter that merging needs."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys below a prefix, sorted."""

    def lines(self, key: str) -> Iterator[bytes]:
        """An object's lines."""

    def get(self, key: str) -> bytes:
        """An object's bytes."""


def result_lines(objects: Bucket, key: str) -> Iterator[bytes]:
    """Iterate over an object of results as lines of JSON, in whichever form it is."""
    file = results_file(key)
    is_table = file is not None and file.form == "parquet"
    return decode_table(objects.get(key)) if is_table else objects.lines(key)


def is_read_here(key: str) -> bool:
    """Whether an object of a batch holds lines that this module reads."""
    return results_file(key) is not None or LINES_KEY.search(key) is not None


def merge(objects: Bucket, keys: Iterable[str]) -> Iterator[bytes]:
    """Iterate over result lines in the input's order, each index once.

    A user's results are those of their highest round. A line of a `.failed` file replaces the same
    round's line.

    Args:
        objects: The work bucket.
        keys: Keys of a batch, such as those of `result_keys`. Only result files are read.
    """
    streams = []
    for key in keys:
        if file := results_file(key):
            rank = -(2 * file.round + file.is_failed)
            streams.append(_ranked(result_lines(objects, key), rank))
    last = -1
    for index, _, line in heapq.merge(*streams):
        if index != last:
            yield line
        last = index


def result_keys(objects: Bucket, prefix: str) -> Iterator[str]:
    """List the keys that may hold results, below a prefix `batches/{batch_id}/{attempt}`."""
    return objects.keys(f"{prefix}/{ROUNDS}")


def _ranked(lines: Iterable[bytes], rank: int) -> Iterator[tuple[int, int, bytes]]:
    """Prepare lines for merging: each with its index and a rank.

    `index` is the first field of the records in `results.lines`. So it is read from the beginning
    of a line, without decoding the line.
    """
    for line in lines:
        if line:
            yield int(line[len(_INDEX) : line.index(b",")]), rank, line


def unreadable(objects: Bucket, prefix: str) -> Iterator[bytes]:
    """Iterate over a batch's lines about unreadable records, in the input's order.

    Args:
        objects: The work bucket.
        prefix: The batch's prefix, `batches/{batch_id}/{attempt}`.
    """
    streams = [
        _ranked(objects.lines(key), 0)
        for kind in ("unreadable", EARLIER_UNREADABLE)
        for key in objects.keys(f"{prefix}/{lines_folder(kind)}")
    ]
    for _, _, line in heapq.merge(*streams):
        yield line


def lines_of_kind(objects: Bucket, prefix: str, kind: str) -> Iterator[bytes]:
    """Iterate over a batch's lines of one kind, shard after shard.

    Args:
        objects: The work bucket.
        prefix: The batch's prefix, `batches/{batch_id}/{attempt}`.
        kind: `failed` for the measurements that failed, or `revisions`.
    """
    for key in objects.keys(f"{prefix}/{lines_folder(kind)}"):
        yield from objects.lines(key)
