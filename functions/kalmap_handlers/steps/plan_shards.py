"""PlanShards."""

from kalmap.pipeline.plan_shards import plan_shards
from kalmap_handlers.steps.step import Task, step


@step("plan_shards")
def handler(task: Task) -> dict[str, object]:
    """Give every chunk's records their positions in the input, and list the shards of round 0."""
    return plan_shards(task.folder)._asdict() | {"round": 0}
