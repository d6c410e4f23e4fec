"""CompleteBatch."""

from kalmap.pipeline.complete_batch import Completed, complete_batch
from kalmap_handlers.clients import batch_store
from kalmap_handlers.steps.step import Task, step
from kalmap_handlers.telemetry import now, observe_batch


@step("complete")
def handler(task: Task) -> Completed:
    """Write the summary and mark the batch succeeded."""
    completed = complete_batch(task.folder, batch_store(), task.round, now())
    observe_batch(completed.received, completed.seconds)
    return completed
