"""RecordFailure."""

from typing import TYPE_CHECKING, Any

from kalmap.pipeline.caught_error import describe_error
from kalmap.pipeline.record_failure import record_failure
from kalmap_handlers.clients import batch_store, bucket
from kalmap_handlers.steps.step import Event, encode
from kalmap_handlers.telemetry import logger, now

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Write the summary and mark the batch failed, with the reason in a sentence."""
    # Logged first: the error is in the log, too, if the failure cannot be recorded.
    logger.warning("batch failed", error=describe_error(event["state"]["error"])[0])
    return encode(record_failure(event["state"], bucket, batch_store(), now()))
