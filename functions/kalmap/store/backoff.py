"""How often and how fast to try again: exponential backoff with full jitter.

The pause before the n-th repeat is drawn evenly from [0, min(cap, base * 2**(n-1))]. Brooker
("Exponential Backoff And Jitter", AWS Architecture Blog, 2015) found that this scheme resolves
contention with the fewest calls. Clock, sleep and random numbers are arguments, so that tests do
not wait.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The configuration of one kind of retry. All times are in seconds.

    Raises:
        ValueError: A field is out of its range. The message names it.
    """

    base: float = 0.05
    """Upper end of the first pause."""
    cap: float = 5.0
    """Upper end of every pause."""
    attempts: int = 10
    """Tries in a row without progress before giving up."""
    jitter: bool = True
    """Draw the pause from [0, upper end]. If False, pause for the upper end."""
    clock: Callable[[], float] = time.monotonic
    """The clock of deadlines."""
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random
    """Draws evenly from [0, 1)."""

    def __post_init__(self) -> None:
        if not 0 < self.base <= self.cap:
            raise ValueError(
                f"base must be above 0 and at most cap, got base {self.base} and cap {self.cap}."
            )
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}.")

    def start(self, deadline: float | None = None) -> "Retry":
        """Begin the tries of one operation.

        Args:
            deadline: Time on `clock` after which nothing is tried. None: no limit.
        """
        return Retry(self, deadline)


class Retry:
    """The tries of one operation under a policy. Do not share it between threads."""

    def __init__(self, policy: RetryPolicy, deadline: float | None) -> None:
        self._policy = policy
        self._deadline = deadline
        self._fruitless = 0

    def last(self) -> "Retry":
        """Return a retry with a single try, within the same deadline."""
        return Retry(replace(self._policy, attempts=1), self._deadline)

    def now(self) -> float:
        """The time on the policy's clock."""
        return self._policy.clock()

    @property
    def expired(self) -> bool:
        """Whether the deadline has passed."""
        return self._deadline is not None and self._policy.clock() >= self._deadline

    def pause(self, *, progress: bool = False) -> bool:
        """Wait before the next try.

        Args:
            progress: The last try did a part of the work. The count of tries and the length of
                the pause then start again, since a table that does a little at a time is slow,
                not broken.

        Returns:
            False, without waiting, if no further try is allowed: the policy's attempts are used
            up, or the pause would last beyond the deadline.
        """
        policy = self._policy
        self._fruitless = 0 if progress else self._fruitless + 1
        if self._fruitless >= policy.attempts:
            return False
        # The exponent is bounded so that no number of tries overflows a float.
        wait = min(policy.cap, policy.base * 2.0 ** min(max(self._fruitless - 1, 0), 64))
        if policy.jitter:
            wait *= policy.random()
        if self._deadline is not None and policy.clock() + wait >= self._deadline:
            return False
        policy.sleep(wait)
        return True
