"""kalmap's library in one process: a file in, results and states out."""

import sqlite3
import sys
from pathlib import Path

import kalmap


def main(source: Path, out: Path) -> None:
    """Filter a file."""
    database = sqlite3.connect(out / "states.db")
    database.execute("CREATE TABLE IF NOT EXISTS states (user TEXT PRIMARY KEY, state BLOB)")
    states = dict(database.execute("SELECT * FROM states"))
    folded = kalmap.fold(kalmap.read(source), states)
    write(folded.results, out)
    with database:
        database.executemany("REPLACE INTO states VALUES (?, ?)", folded.states.items())


def write(results, out: Path) -> None:
    """Write results as JSON lines."""
    import polars as pl

    pl.DataFrame(results).write_ndjson(out / "results.jsonl")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
