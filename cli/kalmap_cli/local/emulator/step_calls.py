"""No more functions of state machines run at once than there are cores.

ministack starts a worker for each call that finds none free. Several executions at once then have
more workers than cores, which wait for each other and hold memory. Here a call of a state machine
waits until fewer run. Other calls, such as the HTTP API's, do not wait for those.
"""

import threading
from typing import Any

from ministack.services import stepfunctions


def install(most: int) -> None:
    """Let at most so many calls of state machines run at once."""
    call = stepfunctions._call_lambda  # noqa: SLF001 - the version is pinned exactly
    free = threading.Semaphore(most)

    def call_when_free(function: Any, event: Any) -> Any:
        with free:
            return call(function, event)

    stepfunctions._call_lambda = call_when_free  # noqa: SLF001
