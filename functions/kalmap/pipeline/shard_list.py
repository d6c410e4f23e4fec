"""The shards that have readings: where their slices are, and where each chunk begins in the input.

PlanShards stores them. Other states store them again if they are lost.
"""

from threading import Lock
from typing import NamedTuple

import numpy as np

from kalmap.batch.chunks import Chunk
from kalmap.batch.folder import Folder
from kalmap.batch.partitions import Partitions
from kalmap.errors import ChunkFailed, InputNotFound
from kalmap.pipeline.chunk_partition import fail_uncounted_chunk
from kalmap.records.shards import chunk_starts, slice_locations
from kalmap.store.objects import at_once


class _ChunkCounts(NamedTuple):
    """Counts of one chunk, and why it failed."""

    records: int
    lines: int
    error: str | None


class ShardList(NamedTuple):
    """The shards to run, and the sum of all chunks."""

    shards: int
    items: str
    """Key of round 0's Map items."""
    records: int
    failed_chunks: int


def list_shards(folder: Folder) -> ShardList:
    """Compute where every chunk's records begin in the batch's input, and list the shards to run.

    Raises:
        InputNotFound: The input has only blank lines.
        ChunkFailed: No chunk could be read, so there is nothing to run.
    """
    partitions = Partitions(folder)
    chunks = partitions.chunks()
    shards = folder.plan().shards
    lengths = np.empty((len(chunks), shards), np.uint32)
    counts = np.zeros(shards, np.int64)
    adding = Lock()

    def read_counts(chunk: Chunk) -> _ChunkCounts:
        report = partitions.report(chunk.number) or fail_uncounted_chunk(folder, chunk.number)
        lengths[chunk.number] = report.lengths
        with adding:
            counts[:] += report.counts
        return _ChunkCounts(report.records, report.lines, report.error)

    of_chunks = at_once(read_counts, chunks)
    first_lines: list[int] = []
    lines = 0
    for number, chunk in enumerate(chunks):
        if number == 0 or chunk.object != chunks[number - 1].object:
            # In a chunk of several objects, lines are counted from the beginning of each object.
            lines = 0 if chunk.others else chunk.object.format.header_lines
        first_lines.append(lines)
        lines += of_chunks[number].lines
    failed = [chunk.error for chunk in of_chunks if chunk.error]
    records = sum(chunk.records for chunk in of_chunks)
    if not records:
        if failed:
            raise ChunkFailed(f"Nothing of the input could be read. {failed[0]}")
        raise InputNotFound("The input holds no records, only blank lines.")
    starts = chunk_starts([chunk.records for chunk in of_chunks], first_lines)
    to_run = partitions.save_slices(starts, *slice_locations(lengths), counts.tolist())
    return ShardList(
        shards=len(to_run),
        items=folder.save_shards(0, to_run),
        records=records,
        failed_chunks=len(failed),
    )
