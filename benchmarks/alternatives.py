"""The same file to the same kind of results by other means: time, memory, what each lacks.

The scripts are in benchmarks/others. Each reads JSON lines, converts units, filters each user's
readings with level and slope, rejects what is far off, writes a result for each reading, and keeps
the states. They run in turn, each in a process of its own, several times. Processor seconds are of
all its processes together, memory is the most that they had at one moment; medians are shown.
filterpy filters one user in 25, and its time is scaled. What is not installed is left out: PySpark
is in no lock file, and needs Java.

    python benchmarks/alternatives.py [--users 35000] [--rounds 3] [--seconds 600]
"""

import argparse
import ctypes
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from run_costs import DAYS, SUBREAPER, Watch, children_seconds, reap

OTHERS = Path(__file__).resolve().parent / "others"


class Way(NamedTuple):
    """A way from a file to its results."""

    name: str
    script: str
    """In benchmarks/others; empty for `kalmap run`."""
    needs: str
    """A package."""
    lacks: str


ONE_PROCESS = "retry, idempotence, conflicts between batches, other machines"
NO_STORY = "late readings, duplicates, jumps, learned noise, wrong units, unreadable records"
WAYS = (
    Way("kalmap run", "", "kalmap", ""),
    Way("kalmap's library and polars", "library.py", "polars", ONE_PROCESS),
    Way("a loop over lines, SQLite", "plain_loop.py", "json", f"{NO_STORY}; {ONE_PROCESS}"),
    Way(
        "polars and simdkalman", "polars_simdkalman.py", "simdkalman",
        f"{NO_STORY}; states of earlier batches; a file larger than memory; {ONE_PROCESS}",
    ),
    Way(
        "bytewax", "bytewax_flow.py", "bytewax",
        f"{NO_STORY}; conflicts between batches",
    ),
    Way(
        "filterpy", "filterpy_loop.py", "filterpy",
        f"{NO_STORY}; states of earlier batches; a file larger than memory; {ONE_PROCESS}",
    ),
    Way(
        "PySpark, applyInPandas", "pyspark_pandas.py", "pyspark",
        f"{NO_STORY}; states of earlier batches; conflicts between batches",
    ),
)  # fmt: skip


class Costs(NamedTuple):
    """What one run took."""

    processor: float
    wall: float
    memory: float


def run(way: Way, readings: Path, folder: Path, most: float) -> Costs | None:
    """Run a way in a folder of its own; None if it took too long."""
    (folder / "out").mkdir()
    command: Sequence[object] = (OTHERS / way.script, readings, folder / "out")
    if not way.script:
        paths = ("--out", folder / "results", "--data-dir", folder / "data")
        command = ("-m", "kalmap_cli", "run", readings, *paths)
    watch, before, begun = Watch(), children_seconds(), time.perf_counter()
    watch.start()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=os.environ | {"KALMAP_REPORT": "no"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=most)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        reap()
        watch.stop()
        return None
    wall = time.perf_counter() - begun
    reap()
    watch.stop()
    if process.returncode:
        raise SystemExit(f"{way.name}: {said[-2000:]}")
    costs = Costs(children_seconds() - before, wall, watch.most)
    written, expected = count_results(folder), count_lines(readings) / scale(way)
    # Some ways leave out what is outside the range; a sample of users has more or fewer readings.
    if not 0.9 / scale(way) ** 0.5 < written / expected < 1.1 * scale(way) ** 0.5:
        raise SystemExit(f"{way.name} wrote {written:,} results of {expected:,.0f} readings.")
    return costs


def count_results(folder: Path) -> int:
    """Results that a way has written."""
    files = [*folder.glob("*/results.jsonl"), *folder.glob("out/results/part-*")]
    return sum(map(count_lines, files))


def count_lines(file: Path) -> int:
    """Lines of a file."""
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def scale(way: Way) -> int:
    """One user in how many a way filters."""
    found = way.script and re.search(
        r"^SAMPLE = (\d+)", (OTHERS / way.script).read_text(), re.MULTILINE
    )
    return int(found[1]) if found else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=35_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600.0, help="the most that a run may take")
    options = parser.parse_args()
    if sys.platform != "linux":
        raise SystemExit("The processes' costs are read from Linux's /proc.")
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    ways = [way for way in WAYS if find_spec(way.needs)]
    costs: dict[Way, list[Costs]] = defaultdict(list)
    given_up: set[Way] = set()
    with tempfile.TemporaryDirectory() as name:
        readings = Path(name) / "readings.jsonl"
        simulate = ("simulate", "--users", str(options.users), "--days", str(DAYS), "--seed", "1")
        subprocess.run(
            [sys.executable, "-m", "kalmap_cli", *simulate, "--out", str(readings)],
            check=True,
            capture_output=True,
        )
        for _ in range(options.rounds):
            for way in ways:
                if way in given_up:
                    continue
                with tempfile.TemporaryDirectory(dir=name) as folder:
                    cost = run(way, readings, Path(folder), options.seconds)
                if cost is None:
                    given_up.add(way)
                else:
                    costs[way].append(cost)
        count = count_lines(readings)
    print(f"{count:,} readings of {options.users:,} users, {DAYS} days.\n")
    print("| | processor, s | seconds | memory, MB | lacks |")
    print("|---|--:|--:|--:|---|")
    for way in ways:
        if way in given_up:
            print(f"| {way.name} | | over {options.seconds:.0f} | | {way.lacks} |")
            continue
        median = Costs(*map(statistics.median, zip(*costs[way], strict=True)))
        # What does not depend on the sample, reading the file, is scaled with it: it is little.
        times = scale(way)
        about = "about " if times > 1 else ""
        print(
            f"| {way.name} | {about}{times * median.processor:.1f} | {times * median.wall:.1f} "
            f"| {median.memory:.0f} | {way.lacks} |"
        )
    left_out = [way.name for way in WAYS if way not in ways]
    if left_out:
        print(f"\nNot installed, and left out: {', '.join(left_out)}.")
    load, cores = os.getloadavg()[2], os.cpu_count()
    print(f"\nLoad of the machine, over 15 minutes: {load:.1f} on {cores} cores.")


if __name__ == "__main__":
    main()
