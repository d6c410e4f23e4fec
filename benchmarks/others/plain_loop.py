"""A loop over the lines of a file, with the states in a database file."""

import json
import sqlite3
import sys
from pathlib import Path

from model import FIELDS, decoded, step


def main(source: Path, out: Path) -> None:
    """Filter a file."""
    database = sqlite3.connect(out / "states.db")
    database.execute("CREATE TABLE IF NOT EXISTS states (user TEXT PRIMARY KEY, state TEXT)")
    states = {user: json.loads(state) for user, state in database.execute("SELECT * FROM states")}
    with source.open() as lines, (out / "results.jsonl").open("w") as results:
        for index, line in enumerate(lines):
            record = json.loads(line)
            user, when, kg, noise = decoded(record)
            states[user], found = step(states.get(user), when, kg, noise)
            result = {
                "index": index,
                "user_id": user,
                "measurement_id": record.get("measurement_id"),
                "timestamp": record["timestamp"],
                "value": kg,
                **dict(zip(FIELDS, found, strict=True)),
            }
            results.write(json.dumps(result) + "\n")
    with database:
        rows = ((user, json.dumps(state)) for user, state in states.items())
        database.executemany("REPLACE INTO states VALUES (?, ?)", rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
