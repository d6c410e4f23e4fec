"""LoadStates."""

from handlers.edge import Task, step, store
from kalmap.pipeline.load_states import load
from kalmap.results.report import Report


@step("load")
def handler(task: Task) -> Report:
    """Read the states of a shard's users."""
    return load(task.folder, store(), task.round, task.shard, task.deadline)
