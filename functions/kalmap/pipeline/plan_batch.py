"""PlanBatch: detect the objects' formats, cut the input into chunks, choose the shards."""

import math
from collections.abc import Sequence

import msgspec

from kalmap.batch.chunks import MAX_CHUNK_BYTES, Chunk, SourceObject, split_into_chunks
from kalmap.batch.folder import Folder, Plan
from kalmap.batch.identity import InputObject
from kalmap.batch.inflate import check_gzip_size
from kalmap.batch.partitions import Partitions
from kalmap.errors import InputNotFound, InvalidInput
from kalmap.records.arrow_library import import_parquet
from kalmap.records.formats import HEAD_BYTES, detect_format
from kalmap.records.gzipped import inflate_head, is_gzipped
from kalmap.records.mapping import Mapping
from kalmap.records.table_content import TableContent
from kalmap.records.table_format import TableFormat
from kalmap.store.objects import OpenBucket, at_once

CHUNK_BYTES = 16 * 1024 * 1024
#: Lambda, Step Functions and S3 all work well up to here. The worker of a shard reads its slice of
#: every chunk, which takes about two minutes if S3 answers in a tenth of a second.
MAX_CHUNKS = 10_000
#: Every shard has a slice of every chunk. PlanShards holds the locations of all in memory.
MAX_SLICES = 20_000_000
#: The ratio of a gzipped object is estimated from this many of its first bytes.
_GZIP_SAMPLE_BYTES = 16 * 1024


def plan_batch(
    folder: Folder, bucket: OpenBucket, *, readings_per_shard: int, max_shards: int
) -> tuple[Plan, str]:
    """Split the batch's input into chunks, and choose the number of shards.

    Returns:
        The plan, and the key of the chunks as Map items.

    Raises:
        UnknownFormat: An object has no known format, or lacks a column of the mapping.
        InvalidInput: A gzipped object is too large for one worker, or the input for one batch; or a
            table is broken, or no library for Parquet is installed.
        InputChanged: An object is no longer there as it was identified.
        InputNotFound: No object holds a record.
    """
    batch = folder.batch()
    if batch.results == "parquet":
        import_parquet("The batch asks for results as Parquet")
    inspected = at_once(lambda item: _inspect(item, bucket, batch.mapping), folder.inputs())
    chunks = _chunks_of([source for source, _ in inspected])
    if not chunks:
        raise InputNotFound("The input has a header but no records.")
    wanted = math.ceil(sum(readings for _, readings in inspected) / readings_per_shard)
    plan = Plan(
        chunks=len(chunks),
        shards=max(1, min(wanted, max_shards, MAX_SLICES // len(chunks))),
        files=[[piece.object.key for piece in chunk.pieces] for chunk in chunks],
    )
    return plan, Partitions(folder).save_plan(plan, chunks)


def _chunks_of(objects: Sequence[SourceObject]) -> list[Chunk]:
    """Split the input into chunks that are as small as MAX_CHUNKS allows."""
    chunk_bytes = CHUNK_BYTES
    while len(chunks := split_into_chunks(objects, chunk_bytes)) > MAX_CHUNKS:
        chunk_bytes *= 2
        if chunk_bytes > MAX_CHUNK_BYTES:
            size = sum(source.size for source in objects)
            raise InvalidInput(
                f"The input has {size:,} bytes in {len(objects):,} objects and needs "
                f"{len(chunks):,} chunks. A batch may have {MAX_CHUNKS:,}. Run it as several "
                "batches, older readings first."
            )
    return chunks


def _inspect(
    item: InputObject, bucket: OpenBucket, mapping: Mapping | None
) -> tuple[SourceObject, float]:
    """Read an object's first bytes; returns its description, and about how many readings it has."""
    head = bucket(item.bucket).get_pinned(
        item.key, item.etag, item.version_id, 0, min(item.size, HEAD_BYTES)
    )
    text = inflate_head(item.key, head)

    def read(start: int, end: int) -> bytes:
        return bucket(item.bucket).get_pinned(item.key, item.etag, item.version_id, start, end)

    content = None if is_gzipped(head) else TableContent(read, item.size)
    source = SourceObject(
        **msgspec.structs.asdict(item),
        format=detect_format(item.key, text, mapping, content),
        gzipped=is_gzipped(head),
    )
    if isinstance(source.format, TableFormat):
        return source, source.format.rows
    ratio = 1.0
    if source.gzipped:
        check_gzip_size(item.key, item.size)
        part = head[:_GZIP_SAMPLE_BYTES]
        ratio = len(inflate_head(item.key, part)) / len(part)
    sample = text[source.format.records_start :]
    bytes_per_line = len(sample) / max(1, sample.count(b"\n"))
    return source, item.size * ratio / max(1.0, bytes_per_line)
