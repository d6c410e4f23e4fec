"""PartitionMeasurements: a chunk's records parsed, checked and routed to their users' shards."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

from kalmap.batch.chunks import Chunk, inflated, owned_lines
from kalmap.batch.folder import Folder
from kalmap.errors import KalmapError
from kalmap.outcome import Reason
from kalmap.pipeline.identify import OpenBucket
from kalmap.records.measurement import Unread
from kalmap.records.parse import parse
from kalmap.records.shards import PartitionReport, route
from kalmap.results.report import Report


def partition(folder: Folder, chunk: Chunk, bucket: OpenBucket) -> PartitionReport:
    """Parse a chunk and keep one slice per shard.

    Raises:
        InputChanged: The object is no longer there as it was identified.
        InvalidInput: A gzipped object is truncated or corrupt.
    """
    shards = folder.plan().shards
    profile = folder.batch().profile
    parsed = parse(_parts(chunk, bucket), columns=chunk.object.columns, profile=profile)
    data, report = route(parsed, chunk.chunk, shards)
    folder.save_partition(data, report)
    return report


def fail_chunk(folder: Folder, chunk: Chunk, bucket: OpenBucket, sentence: str) -> PartitionReport:
    """Give up a chunk: its records, as far as they can be counted, are `failed`."""
    shards = folder.plan().shards
    records = lines = 0
    unread: list[Unread] = []
    # What made the chunk fail may end the counting too; the sentence says so.
    with suppress(KalmapError):
        for line in _lines_of(_parts(chunk, bucket)):
            if line and not line.isspace():
                unread.append(Unread(records, lines + 1, Reason.SHARD_FAILED, sentence, ""))
                records += 1
            lines += 1
    parsed = parse((), columns=None, profile=folder.batch().profile)
    data, report = route(
        parsed._replace(unread=unread, records=records, lines=lines), chunk.chunk, shards
    )
    report.error = sentence
    folder.save_partition(data, report)
    return report


def lose_chunk(folder: Folder, chunk: int) -> PartitionReport:
    """Give up a chunk whose records cannot even be counted."""
    sentence = f"Chunk {chunk} could not be read, and its records could not be counted."
    shards = folder.plan().shards
    report = PartitionReport(chunk, 0, 0, [0] * shards, [0] * shards, sentence)
    folder.save_partition(b"", report)
    folder.save_report(Report(step="partition", shard=chunk, error=sentence))
    return report


def _parts(chunk: Chunk, bucket: OpenBucket) -> Iterable[bytes]:
    source = chunk.object
    objects = bucket(source.bucket)
    if source.gzipped:
        stream = objects.stream_pinned(source.key, source.etag, source.version_id, 0, source.size)
        return _behind(inflated(stream, source.key), source.body_start)

    def read(start: int, end: int) -> bytes:
        return objects.get_pinned(source.key, source.etag, source.version_id, start, end)

    return [owned_lines(chunk, read)]


def _behind(parts: Iterable[bytes], start: int) -> Iterator[bytes]:
    left = start
    for part in parts:
        if len(part) > left:
            yield part[left:]
        left = max(0, left - len(part))


def _lines_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
    if rest:
        yield rest
