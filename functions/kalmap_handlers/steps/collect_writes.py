"""CollectWrites."""

from kalmap.pipeline.collect_writes import Collected, collect_writes
from kalmap_handlers.steps.step import Task, step


@step("collect")
def handler(task: Task) -> Collected:
    """Sum the round's writes; users in conflict become the next round's shards."""
    return collect_writes(task.folder, task.round)
