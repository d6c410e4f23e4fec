"""The rule on executions that ended without passing a Catch: stopped, aborted, timed out."""

from typing import TYPE_CHECKING, Any

from handlers.edge import Event, batch_records, logger, now

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context
def handler(event: Event, context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Mark failed what the execution still holds, so that it can be claimed again."""
    detail = event["detail"]
    reason = (
        f"The execution ended as {detail['status']} without a summary; some states may have "
        "been written. Start the same batch again: what was written counts once."
    )
    return {"released": batch_records().release(detail["name"], reason, now())}
