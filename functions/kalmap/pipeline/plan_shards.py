"""PlanShards: sum the chunks' counts to index offsets, and make round 0's Map items."""

from kalmap.batch.folder import Folder
from kalmap.pipeline.shard_list import ShardList, list_shards


def plan_shards(folder: Folder) -> ShardList:
    """List the shards that have readings, and store them as round 0's Map items.

    Raises:
        InputNotFound: The input has only blank lines.
        ChunkFailed: No chunk could be read, so there is nothing to run.
    """
    return list_shards(folder)
