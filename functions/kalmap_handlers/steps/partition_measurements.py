"""PartitionMeasurements."""

import msgspec

from kalmap.batch.chunks import Chunk
from kalmap.pipeline.partition_measurements import partition_measurements
from kalmap.results.report import Report
from kalmap_handlers.clients import bucket
from kalmap_handlers.steps.step import Task, step


@step("partition")
def handler(task: Task) -> Report:
    """Parse a chunk and route its readings to their shards."""
    chunk = msgspec.convert(task.event["chunk"], Chunk)
    return partition_measurements(task.folder, chunk, bucket)
