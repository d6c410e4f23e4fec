"""A circuit breaker around the table, for callers that wait for an answer.

A batch has minutes and can wait for a slow table, but a synchronous request cannot. After a few
troubled operations in a row the breaker opens. While it is open, requests fail at once with the
time after which to try again, and the table has time to recover. Then the breaker is half open:
it admits one request as a trial, whose outcome closes or opens it.

Each process has its own breaker, so the containers of a Lambda function do not share what they
learn.
"""

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from kalmap.errors import StoreUnavailable
from kalmap.store.ports import Loaded, Lookup, WriteResult

Result = TypeVar("Result", Loaded, Lookup, WriteResult)


class CircuitOpen(StoreUnavailable):
    """No request was sent to the table, because earlier ones have failed.

    Args:
        retry_after: Seconds until the next try, above 0.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "The state table is overloaded or out of reach, so no request was sent to it."
            f" Try again in {retry_after:.1f} seconds."
        )
        self.retry_after = retry_after


class Circuit(Enum):
    """The state of a breaker."""

    CLOSED = "closed"
    """It admits every request."""
    OPEN = "open"
    """It refuses every request."""
    HALF_OPEN = "half open"
    """It admits one request as a trial."""


class CircuitBreaker:
    """Stops requests to a table that keeps failing. Safe to use from several threads.

    An operation is troubled if it raised StoreUnavailable, if it stored nothing of what it should
    have, or if it repeated at least half of its calls.

    Args:
        threshold: Troubled operations in a row that open the breaker.
        rest: Seconds for which it is open the first time. Each failed trial doubles them.
        longest_rest: Most seconds for which it is open.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        *,
        threshold: int = 3,
        rest: float = 2.0,
        longest_rest: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threshold = threshold
        self._shortest = rest
        self._longest = longest_rest
        self._clock = clock
        self._lock = threading.Lock()
        self._troubled = 0
        self._rest = rest
        self._open_until: float | None = None

    @property
    def circuit(self) -> Circuit:
        """The state of the breaker now."""
        with self._lock:
            if self._open_until is None:
                return Circuit.CLOSED
            return Circuit.OPEN if self._clock() < self._open_until else Circuit.HALF_OPEN

    def run(self, operation: Callable[[], Result]) -> Result:
        """Run an operation of the store if the breaker admits it.

        Raises:
            CircuitOpen: The breaker is open. The operation was not run.
            StoreUnavailable: The operation raised it.
        """
        trial = self._admit()
        try:
            result = operation()
        except StoreUnavailable:
            self._learn(trial=trial, troubled=True)
            raise
        self._learn(trial=trial, troubled=_troubled(result))
        return result

    def _admit(self) -> bool:
        """Admit an operation or raise an error. True: it is the trial of a half-open breaker."""
        with self._lock:
            if self._open_until is None:
                return False
            now = self._clock()
            if now < self._open_until:
                raise CircuitOpen(self._open_until - now)
            # Others are refused until the trial ends, or for one more rest if it never does.
            self._open_until = now + self._rest
            return True

    def _learn(self, *, trial: bool, troubled: bool) -> None:
        with self._lock:
            if self._open_until is not None and not trial:
                return  # It was admitted before the breaker opened, so it says nothing new.
            if not troubled:
                self._troubled = 0
                self._rest = self._shortest
                self._open_until = None
                return
            self._troubled += 1
            if trial:
                self._rest = min(2 * self._rest, self._longest)
            if trial or self._troubled >= self._threshold:
                self._open_until = self._clock() + self._rest


def _troubled(result: Loaded | Lookup | WriteResult) -> bool:
    if (
        isinstance(result, WriteResult)
        and result.failed
        and not (result.stored or result.conflicts)
    ):
        return True
    return 0 < result.use.requests <= 2 * result.use.retries
