"""PartitionMeasurements."""

import msgspec

from handlers.clients import bucket
from handlers.steps.step import Task, step
from kalmap.batch.chunks import Chunk
from kalmap.pipeline.partition_measurements import partition_chunk
from kalmap.results.report import Report


@step("partition")
def handler(task: Task) -> Report:
    """Parse a chunk and route its readings to their shards."""
    chunk = msgspec.convert(task.event["chunk"], Chunk)
    partitioned = partition_chunk(task.folder, chunk, bucket)
    return Report(
        step="partition",
        number=chunk.chunk,
        records=partitioned.records,
        notes=partitioned.notes,
    )
