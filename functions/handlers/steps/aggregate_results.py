"""AggregateResults."""

from handlers.edge import Task, step
from kalmap.pipeline.aggregate_results import Judged, aggregate


@step("aggregate")
def handler(task: Task) -> Judged:
    """Sum the round's reports and judge the commit gate."""
    return aggregate(task.folder, task.round)
