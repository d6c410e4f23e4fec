"""FilterUsers."""

from handlers.steps.step import Task, step
from kalmap.pipeline.filter_users import filter_users
from kalmap.results.report import Report


@step("filter")
def handler(task: Task) -> Report:
    """Fold a shard's readings into its users' states."""
    return filter_users(task.folder, task.round, task.shard)
