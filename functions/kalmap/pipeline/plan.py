"""PlanBatch: formats told from the first bytes, the input cut into chunks, shards counted."""

import math

from kalmap.batch.chunks import SourceObject, cut
from kalmap.batch.folder import Folder, Plan
from kalmap.batch.identity import InputObject
from kalmap.errors import InputNotFound
from kalmap.pipeline.identify import OpenBucket
from kalmap.records.formats import csv_header, detect_format, inflate_head
from kalmap.records.measurement import MAX_LINE_BYTES

CHUNK_BYTES = 16 * 1024 * 1024
#: Lambda, Step Functions and S3 all work well up to here.
MAX_CHUNKS = 10_000
#: A usual JSONL reading; only the number of shards depends on it.
_BYTES_PER_READING = 110
_GZIP_RATIO = 8


def plan(
    folder: Folder, bucket: OpenBucket, *, readings_per_shard: int, max_shards: int
) -> tuple[Plan, str]:
    """Cut the batch's input and choose the number of shards.

    Returns:
        The plan, and the key of the chunks as Map items.

    Raises:
        UnknownFormat: An object is neither JSONL nor CSV.
        InvalidInput: A gzipped object is too large for one worker.
        InputChanged: An object is no longer there as it was identified.
        InputNotFound: No object holds a record.
    """
    batch = folder.batch()
    objects = [_look(item, bucket) for item in batch.objects]
    size = sum(item.size for item in objects)
    chunks = cut(objects, max(CHUNK_BYTES, math.ceil(size / MAX_CHUNKS)))
    if not chunks:
        raise InputNotFound("The input has a header but no records.")
    inflated = sum(item.size * (_GZIP_RATIO if item.gzipped else 1) for item in objects)
    shards = math.ceil(inflated / _BYTES_PER_READING / readings_per_shard)
    decided = Plan(
        chunks=len(chunks),
        shards=max(1, min(shards, max_shards)),
        files=[chunk.object.key for chunk in chunks],
    )
    return decided, folder.save_plan(decided, chunks)


def _look(item: InputObject, bucket: OpenBucket) -> SourceObject:
    head = bucket(item.bucket).get_pinned(
        item.key, item.etag, item.version_id, 0, min(item.size, MAX_LINE_BYTES)
    )
    source = SourceObject(
        bucket=item.bucket,
        key=item.key,
        size=item.size,
        etag=item.etag,
        version_id=item.version_id,
        gzipped=head.startswith(b"\x1f\x8b"),
    )
    if detect_format(item.key, head) == "jsonl":
        return source
    text = inflate_head(item.key, head)
    start = len(text) - len(text.lstrip())
    line_end = text.find(b"\n", start) + 1 or len(text)
    return SourceObject(
        **{name: getattr(source, name) for name in ("bucket", "key", "size", "etag", "version_id")},
        gzipped=source.gzipped,
        columns=csv_header(text[start:line_end]),
        body_start=line_end,
        header_lines=text[:line_end].count(b"\n"),
    )
