"""AggregateResults."""

from handlers.steps.step import Task, step
from kalmap.pipeline.aggregate_results import Judged, aggregate_results


@step("aggregate")
def handler(task: Task) -> Judged:
    """Sum the round's reports and judge the commit gate."""
    return aggregate_results(task.folder, task.round)
