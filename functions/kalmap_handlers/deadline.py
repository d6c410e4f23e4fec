"""The time that a function has for its work."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def seconds_for_work(context: "LambdaContext", reserve: float) -> float:
    """The remaining seconds of an invocation without a reserve, but at least half of them.

    Args:
        context: The invocation's context.
        reserve: Seconds for a call that has begun, and for the report or response.
    """
    left = context.get_remaining_time_in_millis() / 1000
    return max(left - reserve, left / 2)
