"""CompleteBatch."""

from handlers.edge import Task, batch_records, now, step
from kalmap.pipeline.complete_batch import Completed, complete


@step("complete")
def handler(task: Task) -> Completed:
    """Write the summary and mark the batch succeeded."""
    return complete(task.folder, batch_records(), task.round, now())
