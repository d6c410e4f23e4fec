"""PlanShards."""

from handlers.steps.step import Task, step
from kalmap.pipeline.plan_shards import plan_shards


@step("plan_shards")
def handler(task: Task) -> dict[str, object]:
    """Place every chunk's records in the input and list round 0's shards."""
    return plan_shards(task.folder)._asdict() | {"round": 0}
