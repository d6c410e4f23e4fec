"""A batch of new users from the command to its results, by `kalmap run` on the local cloud.

The time includes all that a user waits for: the local cloud starts, the template is deployed, the
state machine runs, and the results are fetched. In small batches most of the time is spent by the
local cloud, which starts a process for each step. The price is an estimate for the same batch on
AWS.

    python benchmarks/batch.py [--most 1000000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

#: Users, and days of readings of each: about 29 readings a user.
SIZES = {20_000: (700, 90), 140_000: (5_000, 90), 1_000_000: (35_000, 90)}


class Run(NamedTuple):
    """One batch."""

    seconds: float
    """From the command to the last of its output."""
    lines: int
    """Result lines."""
    summary: dict[str, Any]


def kalmap(*arguments: str | Path) -> None:
    """Run a command of kalmap, and ignore its output."""
    subprocess.run(
        [sys.executable, "-m", "kalmap_cli.main", *map(str, arguments)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def run(users: int, days: int, folder: Path) -> Run:
    """Simulate readings and run them, in a new data directory."""
    readings, out = folder / "readings.jsonl", folder / "out"
    kalmap("simulate", "--users", str(users), "--days", str(days), "--seed", "1", "--out", readings)
    begun = time.perf_counter()
    kalmap("run", readings, "--out", out, "--data-dir", folder / "data")
    seconds = time.perf_counter() - begun
    with (out / "results.jsonl").open("rb") as file:
        lines = sum(1 for _ in file)
    summary = json.loads((out / "summary.json").read_text())
    if lines != summary["readings"]["received"]:
        raise SystemExit(f"{summary['readings']['received']} readings have {lines} results.")
    return Run(seconds, lines, summary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=1_000_000, help="readings of the largest")
    most = parser.parse_args().most
    print("| readings | users | seconds | in the state machine | a step's memory, MB | on AWS, $ |")
    print("|--:|--:|--:|--:|--:|--:|")
    for size, (users, days) in SIZES.items():
        if size > most:
            continue
        with tempfile.TemporaryDirectory() as folder:
            done = run(users, days, Path(folder))
        summary = done.summary
        print(
            f"| {done.lines:,} | {summary['users']['total']:,} | {done.seconds:.1f} "
            f"| {summary['time']['total_seconds']:.1f} | {max(summary['memory_mb'].values()):.0f} "
            f"| {summary['cost_usd']:.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
