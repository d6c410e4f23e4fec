"""ReleaseClaim."""

from typing import TYPE_CHECKING, Any

from kalmap.pipeline.release_claim import release_claim
from kalmap_handlers.clients import batch_store
from kalmap_handlers.steps.step import Event
from kalmap_handlers.telemetry import logger, now

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Release the claim of an execution that ended without a Catch."""
    return {"released": release_claim(event["detail"], batch_store(), now())}
