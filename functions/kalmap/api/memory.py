"""A container's memory: when it is freed, and when that was not enough."""

from collections.abc import Callable
from typing import NamedTuple


class MemoryCheck(NamedTuple):
    """The result of a check."""

    used: float
    """Megabytes, before anything was freed."""
    relieved: bool
    """Whether it was past the limit, so that memory was freed."""
    exhausted: bool
    """Whether it still is."""


def check_memory(
    resident: Callable[[], float], limit: float, free: Callable[[], None]
) -> MemoryCheck:
    """Free memory if the process holds more than it may.

    Args:
        resident: Measures the memory that the process holds, in megabytes.
        limit: Megabytes that it may hold.
        free: Frees what can be freed.
    """
    used = resident()
    if used <= limit:
        return MemoryCheck(used, relieved=False, exhausted=False)
    free()
    return MemoryCheck(used, relieved=True, exhausted=resident() > limit)
