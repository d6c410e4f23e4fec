"""WriteStates."""

from kalmap.pipeline.write_states import write_states
from kalmap.results.report import Report
from kalmap_handlers.clients import state_store
from kalmap_handlers.steps.step import Task, step


@step("write")
def handler(task: Task) -> Report:
    """Write a shard's changed states."""
    return write_states(task.folder, state_store(), task.round, task.shard, task.deadline)
