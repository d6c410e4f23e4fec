"""The memory of this process."""

import resource


def peak_memory_mb() -> float:
    """The most memory that this process has held, in megabytes."""
    # getrusage's figure would include the process that started this one.
    return _memory_mb("VmHWM")


def resident_mb() -> float:
    """The memory that this process holds now, in megabytes; on macOS, the most it has held."""
    return _memory_mb("VmRSS")


def _memory_mb(field: str) -> float:
    try:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
            [kilobytes] = [line.split()[1] for line in status if line.startswith(field)]
        return int(kilobytes) / 1024
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS: bytes
