"""What `kalmap run` costs: the command, its local cloud and all workers together.

Processor seconds are of all processes together, as the kernel counts them. Memory is the most that
all of them had at one moment, looked at ten times a second; what processes share counts once. Disk
is the data directory after the command has ended. Each file is run several times, the files in
turn, each time in a new data directory, without a report, and the medians are shown. Linux only.

    python benchmarks/run_costs.py [--users 1 350 3500 35000] [--rounds 3] [--processes]
"""

import argparse
import ctypes
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

DAYS = 90
#: Seconds between two looks at the processes.
INTERVAL = 0.1
SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")


class Costs(NamedTuple):
    """One run of the command."""

    wall: float
    """Seconds from the command to its end."""
    processor: float
    """Seconds, of all processes together."""
    memory: float
    """MB of all processes together at the worst moment."""
    disk: float
    """MB of the data directory."""


class Watch(threading.Thread):
    """Looks at the processes below this one: their memory, and who uses the processor."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.most = 0.0
        self.seconds: dict[int, tuple[str, float]] = {}
        self.memory: dict[str, float] = defaultdict(float)

    def run(self) -> None:
        while not self.ended.wait(INTERVAL):
            now = {process: look(process) for process in descendants(os.getpid())}
            self.most = max(self.most, sum(memory for _, _, memory in now.values()))
            for process, (name, seconds, memory) in now.items():
                if seconds:
                    self.seconds[process] = name, seconds
                self.memory[name] = max(self.memory[name], memory)

    def stop(self) -> None:
        """Look no more."""
        self.ended.set()
        self.join()

    def by_name(self) -> dict[str, tuple[int, float, float]]:
        """For each kind of process: how many, their processor seconds, the most memory of one."""
        kinds: dict[str, list[float]] = defaultdict(list)
        for name, seconds in self.seconds.values():
            kinds[name].append(seconds)
        return {
            name: (len(found), sum(found), self.memory[name])
            for name, found in sorted(kinds.items(), key=lambda kind: -sum(kind[1]))
        }


def descendants(root: int) -> set[int]:
    """The ids of all processes below one."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            children[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    below, new = set(), [root]
    while new:
        new = [child for parent in new for child in children[parent]]
        below.update(new)
    return below


def look(process: int) -> tuple[str, float, float]:
    """A process's name, processor seconds, and MB of memory, its share of what is shared."""
    folder = Path("/proc", str(process))
    try:
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        stat = (folder / "stat").read_text()
        rollup = (folder / "smaps_rollup").read_text()
    except OSError:
        return "", 0.0, 0.0
    title, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    if "cloud_process" in command:
        name = "local cloud"
    elif "worker_template" in command:
        # A fork has its function's name as its title.
        name = "template of workers" if title.startswith("python") else title
    elif started := re.search(r"ministack-lambda-kalmap-(\w+?)Function", command):
        name = started[1]
    else:
        name = "command" if "kalmap_cli" in command else "other"
    memory = int(re.search(r"^Pss: +(\d+)", rollup, re.MULTILINE)[1]) / 1000
    return name, (int(fields[11]) + int(fields[12])) / _TICKS, memory


def children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def reap() -> None:
    """Wait for the processes that a command's own children have left behind."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def run(readings: Path, folder: Path, *, processes: bool = False) -> Costs:
    """Run a file in a new data directory."""
    data, out = folder / "data", folder / "out"
    before = children_seconds()
    watch = Watch()
    watch.start()
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "kalmap_cli", "run", readings, "--out", out, "--data-dir", data],
        # The HTML report is drawn by a browser's engine.
        env=os.environ | {"KALMAP_REPORT": "no"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - begun
    reap()
    watch.stop()
    if done.returncode:
        raise SystemExit(done.stderr)
    disk = sum(file.stat().st_size for file in data.rglob("*") if file.is_file()) / 1e6
    if processes:
        for name, (count, seconds, memory) in watch.by_name().items():
            print(f"  {name:20} {count:3} {seconds:7.2f} s {memory:7.0f} MB", file=sys.stderr)
        states = json.loads((out / "summary.json").read_text())["time"]
        print(f"  {states}", file=sys.stderr)
    return Costs(wall, children_seconds() - before, watch.most, disk)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, nargs="+", default=[1, 350, 3_500, 35_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", action="store_true", help="show the kinds of processes")
    options = parser.parse_args()
    if sys.platform != "linux":
        raise SystemExit("The processes' costs are read from Linux's /proc.")
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    print("| readings | input, MB | seconds | processor, s | memory, MB | data directory, MB |")
    print("|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {}
        for users in options.users:
            files[users] = folder / f"{users}.jsonl"
            subprocess.run(
                [
                    *(sys.executable, "-m", "kalmap_cli", "simulate", "--users", str(users)),
                    *("--days", str(DAYS), "--seed", "1", "--out", files[users]),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        costs = defaultdict(list)
        for _ in range(options.rounds):
            for users, file in files.items():
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    costs[users].append(run(file, Path(place), processes=options.processes))
        for users, file in files.items():
            median = Costs(*map(statistics.median, zip(*costs[users], strict=True)))
            lines = sum(1 for _ in file.open("rb"))
            print(
                f"| {lines:,} | {file.stat().st_size / 1e6:.1f} | {median.wall:.1f} "
                f"| {median.processor:.1f} | {median.memory:.0f} | {median.disk:.1f} |",
                flush=True,
            )
    # Other work makes every figure but memory and disk larger.
    load, cores = os.getloadavg()[2], os.cpu_count()
    print(f"\nLoad of the machine, over 15 minutes: {load:.1f} on {cores} cores.")


if __name__ == "__main__":
    main()
