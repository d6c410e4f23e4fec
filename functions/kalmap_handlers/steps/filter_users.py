"""FilterUsers."""

from kalmap.pipeline.filter_users import filter_users
from kalmap.results.report import Report
from kalmap_handlers.steps.step import Task, step


@step("filter")
def handler(task: Task) -> Report:
    """Fold a shard's readings into its users' states."""
    return filter_users(task.folder, task.round, task.shard)
