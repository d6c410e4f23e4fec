"""A batch's lines, merged from the shards' files into the input's order."""

import heapq
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

_RESULTS_KEY = re.compile(r"/round-(\d+)/results/[^/]*?(\.failed)?\.jsonl$")
_OTHER_KEY = re.compile(r"/(unreadable|rejected|failed|revisions)/[^/]*\.jsonl$")
#: How every line begins.
_INDEX = b'{"index":'


class Bucket(Protocol):
    """The part of the S3 adapter that merging needs."""

    def keys(self, prefix: str) -> Iterator[str]:
        """All keys below a prefix, sorted."""

    def lines(self, key: str) -> Iterator[bytes]:
        """An object's lines."""


def is_read_here(key: str) -> bool:
    """Whether an object of a batch holds lines that the functions of this module give."""
    return bool(_RESULTS_KEY.search(key) or _OTHER_KEY.search(key))


def merge(objects: Bucket, keys: Iterable[str]) -> Iterator[bytes]:
    """Result lines in the input's order, each index once.

    A user's results are those of their highest round. A line of a `.failed` file replaces the same
    round's line.

    Args:
        objects: The work bucket.
        keys: Of a batch's result files, such as all that `result_keys` lists. Others are ignored.
    """
    streams = []
    for key in keys:
        if match := _RESULTS_KEY.search(key):
            rank = -(2 * int(match[1]) + bool(match[2]))
            streams.append(_ranked(objects.lines(key), rank))
    last = -1
    for index, _, line in heapq.merge(*streams):
        if index != last:
            yield line
        last = index


def result_keys(objects: Bucket, prefix: str) -> Iterator[str]:
    """The keys below a batch's prefix, `batches/{batch_id}/{attempt}`, that may hold results."""
    return objects.keys(f"{prefix}/round-")


def _ranked(lines: Iterable[bytes], rank: int) -> Iterator[tuple[int, int, bytes]]:
    """Lines with their index and a rank, to be merged.

    Every line is an object whose first field is `index`, as `results.lines` encodes it, so
    that the index is read without decoding the line.
    """
    for line in lines:
        if line:
            yield int(line[len(_INDEX) : line.index(b",")]), rank, line


def unreadable(objects: Bucket, prefix: str) -> Iterator[bytes]:
    """A batch's lines about unreadable records, in the input's order.

    Args:
        objects: The work bucket.
        prefix: The batch's, `batches/{batch_id}/{attempt}`.
    """
    streams = [
        _ranked(objects.lines(key), 0)
        # Earlier batches have them below `rejected/`.
        for place in ("unreadable", "rejected")
        for key in objects.keys(f"{prefix}/{place}/")
    ]
    for _, _, line in heapq.merge(*streams):
        yield line


def kept(objects: Bucket, prefix: str, kind: str) -> Iterator[bytes]:
    """A batch's lines of one kind, shard after shard.

    Args:
        objects: The work bucket.
        prefix: The batch's, `batches/{batch_id}/{attempt}`.
        kind: `failed`, the measurements that failed, to be run again; or `revisions`.
    """
    for key in objects.keys(f"{prefix}/{kind}/"):
        yield from objects.lines(key)
