"""PlanShards: the chunks' counts summed into index offsets, and round 0's Map items."""

from threading import Lock
from typing import NamedTuple

import numpy as np

from kalmap.batch.chunks import Chunk
from kalmap.batch.folder import Folder
from kalmap.errors import ChunkFailed, InputNotFound
from kalmap.pipeline.partition_measurements import lose_chunk
from kalmap.records.shards import chunk_starts, slice_places
from kalmap.store.objects import at_once


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
    shards = folder.plan().shards
    lengths = np.empty((len(chunks), shards), np.uint32)
    counts = np.zeros(shards, np.int64)
    adding = Lock()

    def look(chunk: Chunk) -> tuple[int, int, str | None]:
        report = folder.partition_report(chunk.chunk) or lose_chunk(folder, chunk.chunk)
        lengths[chunk.chunk] = report.lengths
        with adding:
            counts[:] += report.counts
        return report.records, report.lines, report.error

    found = at_once(look, chunks)
    first_lines: list[int] = []
    lines = 0
    for place, chunk in enumerate(chunks):
        if place == 0 or chunk.object != chunks[place - 1].object:
            # Where objects share a chunk, each has its lines counted from its own beginning.
            lines = 0 if chunk.others else chunk.object.format.header_lines
        first_lines.append(lines)
        lines += found[place][1]
    failed = [error for _, _, error in found if error]
    records = sum(number for number, _, _ in found)
    if not records:
        if failed:
            raise ChunkFailed(f"Nothing of the input could be read. {failed[0]}")
        raise InputNotFound("The input holds no records, only blank lines.")
    starts = chunk_starts([number for number, _, _ in found], first_lines)
    to_run = folder.save_slices(starts, *slice_places(lengths), counts.tolist())
    return Partitioned(
        shards=len(to_run),
        items=folder.save_shards(0, to_run),
        records=records,
        failed_chunks=len(failed),
    )
