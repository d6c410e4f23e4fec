"""The states Record...Failure of every Map, such as RecordLoadShardFailure."""

from kalmap.pipeline.record_shard_failure import record_shard_failure
from kalmap.results.report import Report
from kalmap_handlers.clients import bucket, state_store
from kalmap_handlers.steps.step import Task, step


@step("fail_shard")
def handler(task: Task) -> Report:
    """Record why a chunk or shard failed, and give its readings `failed` results."""
    return record_shard_failure(
        task.folder,
        task.event,
        round_=task.round,
        bucket=bucket,
        open_store=state_store,
        deadline=task.deadline,
    )
