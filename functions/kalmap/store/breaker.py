"""A circuit breaker around the table, for callers that wait for an answer.

A batch has minutes and waits for a slow table; a synchronous request has not. After a few
troubled operations in a row the breaker opens: requests are answered at once with the time
after which to come again, and the table gets the rest it asks for. After that time one
request is let through as a trial (half open), and its outcome closes or opens the breaker.

Its memory is the process's, so each warm Lambda sandbox learns for itself.
"""

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from kalmap.errors import StoreUnavailable
from kalmap.store.ports import Loaded, Lookup, Written

Result = TypeVar("Result", Loaded, Lookup, Written)


class CircuitOpen(StoreUnavailable):
    """The table was not asked, since it has been in trouble; try again later.

    Args:
        retry_after: Seconds until a try makes sense, above 0.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "The state table is overloaded or out of reach, and was not asked;"
            f" try again in {retry_after:.1f} seconds."
        )
        self.retry_after = retry_after


class Circuit(Enum):
    """What the breaker does with a request."""

    CLOSED = "closed"
    """Lets it through."""
    OPEN = "open"
    """Refuses it."""
    HALF_OPEN = "half open"
    """Lets one through as a trial."""


class CircuitBreaker:
    """Stops asking a table that keeps failing. Safe to use from several threads.

    An operation is troubled if it raised StoreUnavailable, wrote nothing of what it should
    have, or had to repeat at least half of its calls.

    Args:
        threshold: Troubled operations in a row that open the breaker.
        rest: Seconds for which it stays open the first time. Each failed trial doubles them.
        longest_rest: Seconds for which it stays open at most.
        clock: Seconds that only go forward.
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
        """What would happen to a request now."""
        with self._lock:
            if self._open_until is None:
                return Circuit.CLOSED
            return Circuit.OPEN if self._clock() < self._open_until else Circuit.HALF_OPEN

    def run(self, operation: Callable[[], Result]) -> Result:
        """Runs an operation of the store, if the breaker lets it through.

        Raises:
            CircuitOpen: It does not; the operation has not been run.
            StoreUnavailable: As the operation raised it.
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
        """Lets an operation through, or raises; True for the trial of a half-open breaker."""
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
                return  # Let through before the breaker opened: its news is old.
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


def _troubled(result: Loaded | Lookup | Written) -> bool:
    if isinstance(result, Written) and result.failed and not (result.stored or result.conflicts):
        return True
    return 0 < result.use.requests <= 2 * result.use.retries
