"""PartitionMeasurements: parse and check a chunk's records, and route them to their shards."""

from kalmap.batch.chunks import Chunk
from kalmap.batch.folder import Folder
from kalmap.pipeline.chunk_partition import partition_chunk
from kalmap.results.report import Report
from kalmap.store.objects import OpenBucket


def partition_measurements(folder: Folder, chunk: Chunk, bucket: OpenBucket) -> Report:
    """Store a chunk's partition, and count its records.

    Raises:
        InputChanged: The object is no longer there as it was identified.
        InvalidInput: A gzipped object is truncated or corrupt, or too few records are readable.
    """
    partitioned = partition_chunk(folder, chunk, bucket)
    return Report(
        step="partition",
        number=chunk.number,
        records=partitioned.records - partitioned.left_out,
        left_out=partitioned.left_out,
        notes=partitioned.notes,
    )
