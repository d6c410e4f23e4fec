"""IdentifyBatch."""

import os
from typing import TYPE_CHECKING, Any

from handlers.edge import Event, batch_records, bucket, encode, is_running, logger, work_bucket
from kalmap.pipeline.identify_batch import identify

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Identify the batch of an execution; see `kalmap.pipeline.identify_batch`."""
    pointer = identify(
        event["input"],
        execution=event["execution"],
        started_at=event["started_at"],
        work=work_bucket(),
        bucket=bucket,
        records=batch_records(),
        is_running=is_running,
        record_days=int(os.environ["RECORD_DAYS"]),
    )
    return encode(pointer)
