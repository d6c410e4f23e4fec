"""Requests and capacity units of a batch, and those of a read and a write for each reading.

Both are counted on a table of the local cloud, with kalmap's own fold:

    python benchmarks/database_requests.py

Requests are those that were sent. For writes and single reads, the table reports the units. It
reports none for bulk reads, so the store counts one strongly consistent read unit per key. AWS
charges that for an item of at most 4 KB, whether it exists or not.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "functions"), str(ROOT / "cli")]

import tests.support.environment  # noqa: F401 - makes the secret of the table's process
from kalmap.profile import builtin_profile
from kalmap.results.cost import Use, bill
from kalmap.store.dynamodb.item import key, stored_state, values, version_token
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import DatabaseUse
from tests.support.dynamodb import new_client, new_table
from tests.support.store_batches import kalmap_fold

USERS = [f"u{place:04}" for place in range(100)]

PROFILE = builtin_profile("body-weight")
FOLD = kalmap_fold(PROFILE)

Readings = Mapping[str, Sequence[int]]
Way = Callable[[Readings, str], DatabaseUse]


class Row(NamedTuple):
    """One batch in one of the two ways."""

    batch: str
    way: str
    use: DatabaseUse

    @property
    def dollars(self) -> float:
        """What AWS would charge for the units of a million users."""
        of_these = Use(0.0, 0, 0, self.use.read_units, self.use.write_units, 0, 0)
        return bill(of_these).dynamodb * 1e6 / len(USERS)


def in_bulk(mode: str) -> Way:
    """kalmap's way: read all users, fold all readings, write the changed states."""
    client = new_client()
    store = DynamoDBStateStore(client, new_table(client))

    def run(readings: Readings, batch: str) -> DatabaseUse:
        loaded = store.load(PROFILE.name, list(readings))
        written = store.write(
            PROFILE.name,
            FOLD(loaded.states, readings),
            batch=batch,
            attempt="a",
            round_=0,
            mode=mode,
        )
        assert not written.conflicts
        assert not written.failed
        return loaded.use + written.use

    return run


def reading_by_reading() -> Way:
    """The naive way: for each reading, get the user's item, fold, and put it back."""
    client = new_client()
    table = new_table(client)

    def run(readings: Readings, batch: str) -> DatabaseUse:
        use = DatabaseUse()
        for user, numbers in readings.items():
            for number in numbers:
                answer = client.get_item(
                    TableName=table,
                    Key=key(user, PROFILE.name),
                    ConsistentRead=True,
                    ReturnConsumedCapacity="TOTAL",
                )
                use.requests += 1
                use.read_units += answer["ConsumedCapacity"]["CapacityUnits"]
                states = {user: stored_state(answer["Item"])} if "Item" in answer else {}
                changes = FOLD(states, {user: [number]})
                if not changes:
                    continue
                token = version_token(batch, "a", 0, user, changes[0].old)
                answer = client.put_item(
                    TableName=table,
                    Item={**key(user, PROFILE.name), **values(changes[0], token)},
                    ReturnConsumedCapacity="TOTAL",
                )
                use.requests += 1
                use.write_units += answer["ConsumedCapacity"]["CapacityUnits"]
        return use

    return run


def measure() -> list[Row]:
    """Runs three batches each way: new users, the same again, and new readings of known users."""
    batches = {
        "100 new users, 10 readings each": dict.fromkeys(USERS, range(1, 11)),
        "the same batch again": dict.fromkeys(USERS, range(1, 11)),
        "100 known users, 1 reading each": dict.fromkeys(USERS, range(20, 21)),
    }
    ways = {
        "conditional": in_bulk("conditional"),
        "transactional": in_bulk("transactional"),
        "reading by reading": reading_by_reading(),
    }
    rows = []
    for title, readings in batches.items():
        for name, way in ways.items():
            rows.append(Row(title, name, way(readings, title)))
    return rows


def report(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| batch | way | requests | read units | write units | $ per 10⁶ users |",
        "|---|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.batch} | {row.way} | {row.use.requests} | {row.use.read_units:.0f} |"
        f" {row.use.write_units:.0f} | {row.dollars:.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(measure()))
