"""What batching and caching save of the database's cost: the HTTP API on the local cloud's table.

A thousand readings are sent in requests of several sizes, with the cache and without it, by one
container that has just started. Users come back evenly, or a few of them often (by Zipf's law). All
units are those that the store has counted; the comparison is a loop that loads and stores the state
for each reading, which costs one read unit and one write unit a reading.

    python benchmarks/savings.py
"""

import io
import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "functions"), str(ROOT / "cli")]

import pytest

import tests.support.environment  # noqa: F401 - makes the secret of the table's process
from tests.support.api_function import Api

#: Dollars of a unit, on demand in us-east-1.
READ, WRITE = 0.125e-6, 0.625e-6
READINGS, USERS = 1_000, 200
_minutes = itertools.count()


class Units(NamedTuple):
    """What a thousand readings have used."""

    requests: int
    reads: float
    writes: float

    @property
    def dollars(self) -> float:
        """Their price."""
        return self.reads * READ + self.writes * WRITE


def drawn(draw: random.Random, size: int, a_user: int, *, often: bool) -> Iterator[list[str]]:
    """The users of each request: `size` readings of different users, or `a_user` of each."""
    weights = [1 / (rank + 1) for rank in range(USERS)] if often else [1.0] * USERS
    names = [f"u-{number}" for number in range(USERS)]
    for _ in range(READINGS // size):
        users: list[str] = []
        while len(users) < size // a_user:
            [name] = draw.choices(names, weights)
            if name not in users:
                users.append(name)
        yield [name for name in users for _ in range(a_user)]


def reading(user: str) -> dict[str, object]:
    """A reading a minute after the one before, of whomever."""
    minute = next(_minutes)
    day, rest = divmod(minute, 1440)
    time = f"2026-03-{1 + day % 28:02d}T{rest // 60:02d}:{rest % 60:02d}:00Z"
    return {"user_id": user, "timestamp": time, "value": 80.0}


def send(requests: Sequence[list[str]], *, cache: bool) -> Units:
    """Send readings to a container that has just started."""
    with pytest.MonkeyPatch.context() as patch:
        api = Api(patch, ENABLE_BATCH_CACHE=str(cache).lower())
        # The function's metrics are lines of its output.
        with redirect_stdout(io.StringIO()):
            used = [
                api.post([reading(user) for user in users]).body["summary"]["database"]
                for users in requests
            ]
    return Units(*(sum(u[n] for u in used) for n in ("requests", "read_units", "write_units")))


def main() -> None:
    naive = Units(2 * READINGS, READINGS, READINGS)
    print(
        "| readings a request | of a user | users come back | cache | requests | read units ",
        end="",
    )
    print("| write units | reads saved | of the cost saved |")
    print("|--:|--:|---|---|--:|--:|--:|--:|--:|")
    singly, fifty = ((1, 1, False), (1, 1, True)), ((50, 1, False), (50, 1, True))
    for size, a_user, often in (*singly, *fifty, (50, 5, False), (100, 10, False)):
        requests = list(drawn(random.Random(1), size, a_user, often=often))
        for cache in (False, True):
            units = send(requests, cache=cache)
            print(
                f"| {size} | {a_user} | {'a few often' if often else 'evenly'} "
                f"| {'yes' if cache else 'no'} | {units.requests:,} | {units.reads:,.0f} "
                f"| {units.writes:,.0f} | {1 - units.reads / naive.reads:.0%} "
                f"| {1 - units.dollars / naive.dollars:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
