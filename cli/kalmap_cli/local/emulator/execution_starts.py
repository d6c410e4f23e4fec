"""An execution begins at once.

ministack waits 0.15 seconds before the first state of each execution.
"""

import threading
import time
from typing import Any

from ministack.services import stepfunctions


def install() -> None:
    """Let executions begin without waiting."""
    run = stepfunctions._run_execution  # noqa: SLF001 - the version is pinned exactly
    clock = _Clock()
    stepfunctions.time = clock

    def run_at_once(arn: str) -> Any:
        clock.at_beginning.set = True
        try:
            return run(arn)
        finally:
            clock.at_beginning.set = False

    stepfunctions._run_execution = run_at_once  # noqa: SLF001


class _Beginning(threading.local):
    """Whether this thread is at the beginning of an execution."""

    set = False


class _Clock:
    """The module `time`, whose first sleep of an execution takes no time."""

    def __init__(self) -> None:
        self.at_beginning = _Beginning()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        """Sleep, but not at the beginning of an execution."""
        if self.at_beginning.set:
            self.at_beginning.set = False
        else:
            time.sleep(seconds)
