"""PlanShards: the chunks' counts summed into index offsets, and round 0's Map items."""

from typing import NamedTuple

import numpy as np

from kalmap.batch.folder import Folder
from kalmap.errors import ChunkFailed, InputNotFound
from kalmap.pipeline.partition import lose_chunk
from kalmap.records.shards import slice_places


class Partitioned(NamedTuple):
    """What all chunks held."""

    shards: int
    items: str
    """Key of round 0's Map items."""
    records: int
    failed_chunks: int


def plan_shards(folder: Folder) -> Partitioned:
    """Place every chunk's records in the batch's input and list the shards to run.

    Raises:
        InputNotFound: The input holds blank lines only.
        ChunkFailed: No chunk could be read, so there is nothing to run.
    """
    chunks = folder.chunks()
    reports = [
        folder.partition_report(chunk.chunk) or lose_chunk(folder, chunk.chunk) for chunk in chunks
    ]
    first_lines: list[int] = []
    lines = 0
    for place, (chunk, report) in enumerate(zip(chunks, reports, strict=True)):
        if place == 0 or chunk.object.key != chunks[place - 1].object.key:
            lines = chunk.object.header_lines
        first_lines.append(lines)
        lines += report.lines
    failed = [report.error for report in reports if report.error]
    records = sum(report.records for report in reports)
    if not records:
        if failed:
            raise ChunkFailed(f"Nothing of the input could be read. {failed[0]}")
        raise InputNotFound("The input holds no records, only blank lines.")
    counts = np.sum([report.counts for report in reports], axis=0).tolist()
    shards = folder.save_slices(slice_places(reports, first_lines), counts)
    return Partitioned(
        shards=len(shards),
        items=folder.save_shards(0, shards),
        records=records,
        failed_chunks=len(failed),
    )
