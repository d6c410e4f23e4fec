"""WriteStates."""

from handlers.clients import state_store
from handlers.steps.step import Task, step
from kalmap.pipeline.write_states import write_states
from kalmap.results.report import Report


@step("write")
def handler(task: Task) -> Report:
    """Write a shard's changed states."""
    return write_states(task.folder, state_store(), task.round, task.shard, task.deadline)
