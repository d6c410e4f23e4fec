"""The time that a function may use for its work."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def seconds_for_work(context: "LambdaContext", reserve: float) -> float:
    """The rest of an invocation's time, less a reserve; at least half of it.

    Args:
        context: The invocation's.
        reserve: Seconds for the call that is under way, and for the report or answer.
    """
    left = context.get_remaining_time_in_millis() / 1000
    return max(left - reserve, left / 2)
