"""CompleteBatch."""

from handlers.clients import batch_store
from handlers.steps.step import Task, step
from handlers.telemetry import now
from kalmap.pipeline.complete_batch import Completed, complete_batch


@step("complete")
def handler(task: Task) -> Completed:
    """Write the summary and mark the batch succeeded."""
    return complete_batch(task.folder, batch_store(), task.round, now())
