"""WriteStates."""

from handlers.edge import Task, step, store
from kalmap.pipeline.write_states import write
from kalmap.results.report import Report


@step("write")
def handler(task: Task) -> Report:
    """Write a shard's changed states."""
    return write(task.folder, store(), task.round, task.shard, task.deadline)
