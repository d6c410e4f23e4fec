"""Memory and descriptors of the local cloud's processes while it is used, and what grows.

A series is cut into blocks of the same time. The slope is Theil and Sen's over the medians of the
blocks: the median of the slopes of all pairs. Its interval is that of 95 % of the slopes of
blocks drawn again.
"""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_BLOCKS, _DRAWS = 24, 400
#: The first part of the run, in which caches fill.
WARM_UP = 0.25
#: The kind of process that keeps tables, logs and executions.
CLOUD = "the local cloud"
_INTERVAL = 2.0
#: Samples from which the processor's time for a reading is taken.
_SAMPLES = 30
_TICKS = os.sysconf("SC_CLK_TCK")


class Slope(NamedTuple):
    """How a series changed over the time that was watched."""

    level: float
    """The median."""
    growth: float
    """From the beginning to the end, in the series' unit."""
    low: float
    high: float
    """The interval of the growth."""


def slope(times: Sequence[float], values: Sequence[float], share: float = 50.0) -> Slope | None:
    """The growth of a series, in its share (50: the median) of each block; None if it is short."""
    time_, value = np.array(times), np.array(values)
    if len(value) < 2 * _BLOCKS:
        return None
    edges = np.linspace(time_[0], time_[-1], _BLOCKS + 1)
    block = np.clip(np.searchsorted(edges, time_, side="right") - 1, 0, _BLOCKS - 1)
    found = [n for n in range(_BLOCKS) if (block == n).any()]
    at = np.array([time_[block == n].mean() for n in found])
    of = np.array([np.percentile(value[block == n], share) for n in found])
    span = time_[-1] - time_[0]
    draws = np.random.default_rng(1).integers(len(at), size=(_DRAWS, len(at)))
    drawn = [_median_slope(at[chosen], of[chosen]) for chosen in draws]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Slope(
        float(np.median(of)), *(float(span * one) for one in (_median_slope(at, of), low, high))
    )


def _median_slope(at: np.ndarray, of: np.ndarray) -> float:
    first, second = np.triu_indices(len(at), 1)
    apart = at[second] != at[first]
    pairs = (of[second] - of[first])[apart] / (at[second] - at[first])[apart]
    return float(np.median(pairs))


class Watch(threading.Thread):
    """Looks at the processes of a local cloud, and at its data directory, until it is stopped.

    Args:
        serving: The process of `kalmap serve`.
        data: Its data directory.
        done: How many results there are so far.
    """

    def __init__(self, serving: int, data: Path, done: Callable[[], int]) -> None:
        super().__init__(daemon=True)
        self.memory: dict[str, list[tuple[float, float]]] = defaultdict(list)
        """MB of the largest process of each kind, by time."""
        self.descriptors: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.worked: list[tuple[float, float, int]] = []
        """Processor seconds of all processes, and results, by time."""
        self.stopped = threading.Event()
        self._serving, self._data, self._done = serving, data, done

    def run(self) -> None:
        while not self.stopped.wait(_INTERVAL):
            now, worked = time.monotonic(), 0.0
            largest: dict[str, tuple[float, float]] = {}
            for kind, memory, descriptors, processor in self._processes():
                worked += processor
                before = largest.get(kind, (0.0, 0.0))
                largest[kind] = max(before[0], memory), max(before[1], descriptors)
            for kind, (memory, descriptors) in largest.items():
                self.memory[kind].append((now, memory))
                self.descriptors[kind].append((now, descriptors))
            self.worked.append((now, worked, self._done()))

    def processor(self) -> list[tuple[float, float]]:
        """Milliseconds of all processes for a result, by time."""
        return [
            (at, 1000 * (worked - worked_before) / (done - done_before))
            for (_, worked_before, done_before), (at, worked, done) in zip(
                self.worked, self.worked[_SAMPLES:], strict=False
            )
            if done > done_before
        ]

    def _processes(self) -> Iterator[tuple[str, float, float, float]]:
        """Kind, memory in MB, descriptors and processor seconds of each process.

        The seconds include those of processes that have ended, which their templates have.
        """
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().split(b"\0")
                if int(folder.name) != self._serving and os.fsencode(self._data) not in b" ".join(
                    command
                ):
                    continue
                status = (folder / "status").read_text()
                descriptors = len(list((folder / "fd").iterdir()))
                ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:15]
            except OSError:
                continue
            if "VmRSS:" in status:
                kilobytes = int(status.split("VmRSS:")[1].split()[0])
                processor = sum(map(int, ticks)) / _TICKS
                yield self._kind(folder, command), kilobytes / 1024, descriptors, processor

    def _kind(self, folder: Path, command: list[bytes]) -> str:
        if int(folder.name) == self._serving:
            return "kalmap serve"
        if any(word.endswith(b"cloud_process.py") for word in command):
            return CLOUD
        name = (folder / "comm").read_text().strip()
        return "the workers' template" if name.startswith("python") else f"worker: {name}"


def folder_mb(folder: Path) -> float:
    """What the files below a folder take."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118
            except FileNotFoundError:
                continue
    return total / 2**20
