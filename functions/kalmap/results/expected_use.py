"""What a batch will use, before it runs: every request follows from its chunks, shards and users.

A test compares the requests with those of a real batch, one by one.
"""

from typing import NamedTuple

from kalmap.results.cost import (
    CHILD_TRANSITIONS,
    PARENT_TRANSITIONS,
    SINGLE_STEPS,
    Use,
    initialisation,
)
from kalmap.results.performance import WHOLE_CORE_MB

#: Worker's seconds on one core, by `benchmarks/run_costs.py --processes`: of each reading, each
#: user, and each invocation.
_PARTITION, _FILTER = 3.8e-6, 5.7e-6
_LOAD, _WRITE = 43e-6, 95e-6
_INVOCATION = 0.1
#: GB of the functions, by the template.
MEMORY_GB = {"partition": 3008 / 1024, "filter": 1769 / 1024, "load": 1.0, "write": 1.0}
#: GB from which on a function has a core of its own.
_WHOLE_CORE_GB = WHOLE_CORE_MB / 1024
#: Bytes of a reading's parsed form and result, and of a state with its copies in a batch's folder.
_FILES_PER_READING, _FILES_PER_USER = 400, 1_200
STATE_BYTES = 1_024


class Size(NamedTuple):
    """How large a batch is."""

    readings: int
    users: int
    bytes: int
    """Of its files, inflated."""
    chunks: int
    shards: int


def expected_use(size: Size) -> Use:
    """The use of a batch without failures and conflicts."""
    chunks, shards = size.chunks, size.shards
    seconds = {
        "partition": _PARTITION * size.readings + _INVOCATION * chunks,
        "load": _LOAD * size.users + _INVOCATION * shards,
        "filter": _FILTER * size.readings + _INVOCATION * shards,
        "write": _WRITE * size.users + _INVOCATION * shards,
    }
    work = sum(seconds[step] * gb / min(1.0, gb / _WHOLE_CORE_GB) for step, gb in MEMORY_GB.items())
    children = chunks + 3 * shards
    return Use(
        gb_seconds=work + SINGLE_STEPS * _INVOCATION + initialisation(chunks, shards),
        invocations=SINGLE_STEPS + children,
        transitions=PARENT_TRANSITIONS + CHILD_TRANSITIONS * children,
        # A state has at most 1,024 bytes: one unit to write it, one to read it consistently.
        read_units=size.users,
        write_units=size.users,
        puts=_puts(chunks, shards),
        gets=_gets(chunks, shards),
    )


def _puts(chunks: int, shards: int) -> int:
    plan, plan_shards, aggregate, collect, complete = 3, 4, 7, 6, 2
    partition, load, filter_, write = 3, 2, 3, 1
    single = plan + plan_shards + aggregate + collect + complete
    return single + partition * chunks + (load + filter_ + write) * shards


def _gets(chunks: int, shards: int) -> int:
    plan, plan_shards, complete = 3, 2 + chunks, 2
    aggregate, collect = 4 + chunks + 3 * shards, 6 + chunks + 4 * shards
    partition, load, filter_, write = 3, 4 + chunks, 5 + chunks, 4
    single = plan + plan_shards + aggregate + collect + complete
    return single + partition * chunks + (load + filter_ + write) * shards


def one_call_a_reading(size: Size) -> Use:
    """The use of a machine that starts a child for each reading, which loads and stores a state."""
    n = size.readings
    return Use(
        gb_seconds=n * _INVOCATION + initialisation(0, n),
        invocations=n,
        transitions=CHILD_TRANSITIONS * n,
        read_units=n,
        write_units=n,
        puts=0,
        gets=0,
    )


def two_requests_a_reading(size: Size) -> Use:
    """The same batch, if it loaded and stored a state for each reading."""
    return expected_use(size)._replace(read_units=size.readings, write_units=size.readings)


def floor(size: Size) -> Use:
    """Each state read and written once, and nothing else."""
    return Use(0.0, 0, 0, size.users, size.users, 0, 0)


def files_gb(size: Size) -> float:
    """GB that a batch leaves in the work bucket, with its input."""
    parsed = _FILES_PER_READING * size.readings + _FILES_PER_USER * size.users
    return (size.bytes + parsed) / 1e9
