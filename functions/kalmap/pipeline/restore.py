"""Restoring: cut a batch's readings from its input again, if the batch's copy of them is lost.

The input still exists in the version that was read, and the same bytes give the same slices at the
same locations. So workers of other shards read the same content before and after.
"""

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.partitions import Partitions
from kalmap.pipeline.chunk_partition import fail_chunk, partition_chunk
from kalmap.pipeline.shard_list import list_shards
from kalmap.store.objects import OpenBucket


def restore(folder: Folder, shard: Shard, bucket: OpenBucket) -> None:
    """Store a shard's readings again if they are missing or cut off.

    Raises:
        InputChanged: The input has changed since the batch was identified.
        InputNotFound: The batch's plan is lost, too.
    """
    partitions = Partitions(folder)
    for chunk in partitions.chunks():
        if partitions.is_whole(chunk.number):
            continue
        report = partitions.report(chunk.number)
        if report and report.error:
            fail_chunk(folder, chunk, bucket, report.error)
        else:
            partition_chunk(folder, chunk, bucket)
    if not partitions.has_slices(shard):
        list_shards(folder)
