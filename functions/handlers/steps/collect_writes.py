"""CollectWrites."""

from handlers.edge import Task, step
from kalmap.pipeline.aggregate_results import Collected, collect_writes


@step("collect")
def handler(task: Task) -> Collected:
    """Sum the round's writes; users in conflict become the next round's shards."""
    return collect_writes(task.folder, task.round)
