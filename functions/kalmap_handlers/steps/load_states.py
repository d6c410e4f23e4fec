"""LoadStates."""

from kalmap.pipeline.load_states import load_states
from kalmap.results.report import Report
from kalmap_handlers.clients import state_store
from kalmap_handlers.steps.step import Task, step


@step("load")
def handler(task: Task) -> Report:
    """Read the states of a shard's users."""
    return load_states(task.folder, state_store(), task.round, task.shard, task.deadline)
