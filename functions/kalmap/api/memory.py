"""The memory of a container: when it is freed, and whether that was enough."""

from collections.abc import Callable
from typing import NamedTuple


class MemoryCheck(NamedTuple):
    """The result of a check."""

    used: float
    """Megabytes before memory was freed."""
    relieved: bool
    """Whether the limit was passed and memory was freed."""
    exhausted: bool
    """Whether the limit is still passed after that."""


def check_memory(
    resident: Callable[[], float], limit: float, free: Callable[[], None]
) -> MemoryCheck:
    """Free memory if the process holds more than its limit.

    Args:
        resident: Measures the memory that the process holds, in megabytes.
        limit: Megabytes that the process may hold.
        free: Frees memory.
    """
    used = resident()
    if used <= limit:
        return MemoryCheck(used, relieved=False, exhausted=False)
    free()
    return MemoryCheck(used, relieved=True, exhausted=resident() > limit)
