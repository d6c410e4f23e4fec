"""Restoring: a batch's readings cut from its input once more, where its own copy of them is lost.

The input is still there in the version that was read, and the same bytes give the same slices at
the same places. So whoever works on another shard meanwhile reads what was there before.
"""

from kalmap.batch.folder import Folder, Shard
from kalmap.pipeline.partition_measurements import fail_chunk, partition_chunk
from kalmap.pipeline.plan_shards import plan_shards
from kalmap.store.objects import OpenBucket


def restore(folder: Folder, shard: Shard, bucket: OpenBucket) -> None:
    """Make again what a shard's readings are read from, as far as it is missing or cut off.

    Raises:
        InputChanged: The input is no longer there as it was identified.
        InputNotFound: Nobody knows any more how the input was cut.
    """
    for chunk in folder.chunks():
        if folder.has_partition(chunk.chunk):
            continue
        report = folder.partition_report(chunk.chunk)
        if report and report.error:
            fail_chunk(folder, chunk, bucket, report.error)
        else:
            partition_chunk(folder, chunk, bucket)
    if not folder.has_slices(shard):
        plan_shards(folder)
