"""PlanBatch."""

import os

from kalmap.pipeline.plan_batch import plan_batch
from kalmap_handlers.clients import bucket
from kalmap_handlers.steps.step import Task, step


@step("plan")
def handler(task: Task) -> dict[str, object]:
    """Cut the batch's input into chunks and choose the number of shards."""
    decided, items = plan_batch(
        task.folder,
        bucket,
        readings_per_shard=int(os.environ["READINGS_PER_SHARD"]),
        max_shards=int(os.environ["MAX_SHARDS"]),
    )
    return {"chunks": decided.chunks, "shards": decided.shards, "items": items, "round": 0}
