"""CompleteBatch."""

from kalmap.pipeline.complete_batch import Completed, complete_batch
from kalmap_handlers.clients import batch_store
from kalmap_handlers.steps.step import Task, step
from kalmap_handlers.telemetry import now


@step("complete")
def handler(task: Task) -> Completed:
    """Write the summary and mark the batch succeeded."""
    return complete_batch(task.folder, batch_store(), task.round, now())
