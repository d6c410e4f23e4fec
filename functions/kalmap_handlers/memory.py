"""The memory of this process."""

import ctypes
import gc
import resource


def peak_memory_mb() -> float:
    """The most memory that this process has held, in megabytes."""
    # getrusage's figure would include the process that started this one.
    return _memory_mb("VmHWM")


def resident_mb() -> float:
    """The memory that this process holds now, in megabytes. On macOS, the most it has held."""
    return _memory_mb("VmRSS")


def release_memory() -> None:
    """Return memory that is no longer used to the operating system."""
    gc.collect()
    try:
        # The C library keeps freed memory for later use, and the process still holds it then.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def _memory_mb(field: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            [kilobytes] = [line.split()[1] for line in status if line.startswith(field)]
        return int(kilobytes) / 1024
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes
