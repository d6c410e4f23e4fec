"""IdentifyBatch."""

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3

from handlers.edge import Event, batch_records, bucket, encode, logger, work_bucket
from kalmap.pipeline.identify import identify

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Identify the batch of an execution; see `kalmap.pipeline.identify`."""
    pointer = identify(
        event["input"],
        execution=event["execution"],
        started_at=event["started_at"],
        work=work_bucket(),
        bucket=bucket,
        records=batch_records(),
        is_running=_is_running,
    )
    return encode(pointer)


def _is_running(execution: str) -> bool:
    states = _states()
    try:
        return bool(states.describe_execution(executionArn=execution)["status"] == "RUNNING")
    except states.exceptions.ExecutionDoesNotExist:
        return False


@cache
def _states() -> Any:
    return boto3.client("stepfunctions")
