"""The size of a shard and the memory of a function: what a batch costs, and how long it takes.

A file is run on the local cloud once with each size of shards. What it would cost on AWS is the
summary's estimate: the time of its functions here, the requests and transitions as counted, and
the starts of as many containers as AWS would start. Memory is the most of one worker.

For the functions' memory, what is measured are the processor seconds of each step. AWS gives a
function of less than 1,769 MB that part of a core, so that they take longer by as much. This is
computed, since nothing here limits a worker's processor as Lambda does. Waiting for S3 and for the
table comes on top, and costs less the smaller the memory is.

    python benchmarks/shard_size.py [--users 3500] [--sizes 100 1000 10000 50000 100000]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DAYS = 30
SIZES = (50, 100, 1_000, 10_000, 50_000, 100_000)
MEMORIES = (256, 512, 1_024, 1_769, 3_008)
#: MB from which on a function has a whole core, and a second of a GB in dollars.
_CORE, _GB_SECOND = 1_769, 0.0000133334
_SHOWN = ("partition", "load", "filter", "write")


def kalmap(*arguments: object, size: int | None = None) -> None:
    """Run a command as a user does."""
    settings = {"KALMAP_REPORT": "no"}
    if size is not None:
        settings["KALMAP_READINGS_PER_SHARD"] = str(size)
    done = subprocess.run(
        [sys.executable, "-m", "kalmap_cli", *map(str, arguments)],
        env=os.environ | settings,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def summary_of(file: Path, size: int) -> dict[str, Any]:
    """Run a file in a new data directory, with shards of this size."""
    with tempfile.TemporaryDirectory(dir=file.parent) as place:
        out, data = Path(place, "out"), Path(place, "data")
        kalmap("run", file, "--out", out, "--data-dir", data, size=size)
        return dict(json.loads((out / "summary.json").read_text()))


def row(size: int, summary: dict[str, Any], readings: int) -> str:
    """A size of shards in the first table."""
    filtered = summary["performance"]["filter"]
    dollars = summary["cost_usd"] * 1e6 / readings
    return (
        f"| {size:,} | {filtered['invocations']:,} | {summary['time']['total_seconds']:.1f} "
        f"| {filtered['median_seconds']:.2f} | {filtered['memory_mb']:.0f} | ${dollars:.3f} |"
    )


def memory_rows(steps: dict[str, Any]) -> list[str]:
    """The second table: seconds of a call of each step, and dollars of a thousand, by memory."""
    rows = []
    for name in _SHOWN:
        step = steps[name]
        worked = step["median_seconds"] * step["cpu_share"]
        cells = []
        for memory in MEMORIES:
            took = worked / min(1.0, memory / _CORE)
            enough = memory >= step["memory_mb"] * 1.25
            dollars = 1000 * took * memory / 1024 * _GB_SECOND
            cells.append(f"{took:.2f} s, ${dollars:.4f}" if enough else "too little")
        rows.append(f"| {name} | {step['memory_mb']:.0f} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=3_500)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "readings.jsonl")
        simulated = ("--users", options.users, "--days", DAYS, "--seed", 1, "--out", file)
        kalmap("simulate", *simulated)
        readings = sum(1 for _ in file.open("rb"))
        print(f"{readings:,} readings of {options.users:,} users.\n")
        print("| readings per shard | shards | seconds | of a shard | MB | a million readings |")
        print("|--:|--:|--:|--:|--:|--:|")
        largest: dict[str, Any] = {}
        for size in options.sizes:
            largest = summary_of(file, size)
            print(row(size, largest, readings), flush=True)
    print("\n| step | used, MB | " + " | ".join(f"{memory:,} MB" for memory in MEMORIES) + " |")
    print("|---|" + "--:|" * (len(MEMORIES) + 1))
    print("\n".join(memory_rows(largest["performance"])))
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"\nLoad of the machine: {load:.1f} on {cores} cores.")


if __name__ == "__main__":
    main()
