"""A chunk's partition: its records parsed, checked and routed to their shards, and stored.

PartitionMeasurements stores it. Other states store it again if it is lost, or store that the chunk
has failed.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from kalmap.batch.chunks import Chunk, Piece
from kalmap.batch.folder import Folder
from kalmap.batch.inflate import inflate
from kalmap.batch.partitions import Partitions
from kalmap.errors import KalmapError
from kalmap.outcome import Reason
from kalmap.records.measurement import MAX_UNREADABLE, UnreadableRecord
from kalmap.records.parse import File, parse_files
from kalmap.records.shards import PartitionReport, of_share, route
from kalmap.records.table_content import naming
from kalmap.results.report import Report
from kalmap.store.objects import OpenBucket


def partition_chunk(folder: Folder, chunk: Chunk, bucket: OpenBucket) -> PartitionReport:
    """Parse a chunk and store one slice per shard.

    Raises:
        InputChanged: The object is no longer there as it was identified.
        InvalidInput: A gzipped object or a table is truncated or corrupt, or too few records are
            readable.
    """
    shards = folder.plan().shards
    notes: list[str] = []
    batch = folder.batch()
    parsed, left_out = parse_files(_files(chunk, bucket, notes), batch.profile), 0
    if batch.share is not None:
        parsed, left_out = of_share(parsed, batch.share)
    data, report = route(parsed, chunk.number, shards)
    report.notes, report.left_out = notes, left_out
    Partitions(folder).save(data, report)
    return report


def fail_chunk(folder: Folder, chunk: Chunk, bucket: OpenBucket, sentence: str) -> PartitionReport:
    """Record that a chunk has failed. Its records, if they can be counted, are `failed`."""
    shards = folder.plan().shards
    lines = 0
    unreadable: list[UnreadableRecord] = []
    for number, file in enumerate(_files(chunk, bucket, [])):
        lines = file.first_line
        # The error that failed the chunk may also end the counting. The sentence tells of it.
        with suppress(KalmapError):
            for block in file.format.blocks(file.parts):
                if len(unreadable) == MAX_UNREADABLE:
                    break
                for line, _ in islice(block.records(), MAX_UNREADABLE - len(unreadable)):
                    unreadable.append(
                        UnreadableRecord(
                            len(unreadable),
                            lines + line,
                            Reason.SHARD_FAILED,
                            sentence,
                            "",
                            file=number,
                        )
                    )
                lines += block.lines
    parsed = parse_files([], folder.batch().profile)
    data, report = route(
        parsed._replace(unreadable=unreadable, records=len(unreadable), lines=lines),
        chunk.number,
        shards,
    )
    report.error = sentence
    Partitions(folder).save(data, report)
    return report


def fail_uncounted_chunk(folder: Folder, chunk: int) -> PartitionReport:
    """Record that a chunk has failed, and that its records cannot be counted."""
    sentence = f"Chunk {chunk} could not be read, and its records could not be counted."
    shards = folder.plan().shards
    report = PartitionReport(
        chunk, records=0, lines=0, lengths=[0] * shards, counts=[0] * shards, error=sentence
    )
    Partitions(folder).save(b"", report)
    folder.save_report(Report(step="partition", number=chunk, error=sentence))
    return report


def _files(chunk: Chunk, bucket: OpenBucket, notes: list[str]) -> Iterator[File]:
    """Iterate over a chunk's objects. If there are several, each is read whole."""
    pieces = chunk.pieces
    for piece in pieces:
        source = piece.object
        first_line = source.format.header_lines if len(pieces) > 1 else 0
        yield File(_parts(piece, bucket, notes), source.format, first_line)


def _parts(piece: Piece, bucket: OpenBucket, notes: list[str]) -> Iterator[Any]:
    source = piece.object
    objects = bucket(source.bucket)
    if source.gzipped:
        stream = objects.stream_pinned(source.key, source.etag, source.version_id, 0, source.size)
        yield from _skip(inflate(stream, source.key, notes), source.format.records_start)
        return

    def read(start: int, end: int) -> bytes:
        return objects.get_pinned(source.key, source.etag, source.version_id, start, end)

    with naming(source.key):
        yield from source.format.read_range(piece.start, piece.end, source.size, read)


def _skip(parts: Iterable[bytes], start: int) -> Iterator[bytes]:
    left = start
    for part in parts:
        if len(part) > left:
            yield part[left:]
        left = max(0, left - len(part))
