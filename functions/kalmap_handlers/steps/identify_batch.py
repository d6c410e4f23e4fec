"""IdentifyBatch."""

import os
from typing import TYPE_CHECKING, Any

from kalmap.pipeline.identify_batch import identify_batch
from kalmap_handlers.clients import batch_store, bucket, is_running, work_bucket
from kalmap_handlers.steps.step import Event, encode
from kalmap_handlers.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Identify the batch of an execution; see `kalmap.pipeline.identify_batch`."""
    pointer = identify_batch(
        event["input"],
        execution=event["execution"],
        started_at=event["started_at"],
        work=work_bucket(),
        bucket=bucket,
        records=batch_store(),
        is_running=is_running,
        record_days=int(os.environ["RECORD_DAYS"]),
    )
    return encode(pointer)
