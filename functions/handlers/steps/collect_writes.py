"""CollectWrites."""

from handlers.steps.step import Task, step
from kalmap.pipeline.collect_writes import Collected, collect_writes


@step("collect")
def handler(task: Task) -> Collected:
    """Sum the round's writes; users in conflict become the next round's shards."""
    return collect_writes(task.folder, task.round)
