"""AggregateResults."""

from kalmap.pipeline.aggregate_results import Judged, aggregate_results
from kalmap_handlers.steps.step import Task, step


@step("aggregate")
def handler(task: Task) -> Judged:
    """Sum the round's reports and judge the commit gate."""
    return aggregate_results(task.folder, task.round)
