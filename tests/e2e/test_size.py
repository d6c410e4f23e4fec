"""The time and memory of a batch of 20,000 readings. Times are printed, not asserted."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.kalmap_command import kalmap, start

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def tree_of(root):
    """Process ids of everything below a process."""
    children = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                stat = (process / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(
                int(process.name)
            )
    processes, ahead = [], [root]
    while ahead:
        below = children.get(ahead.pop(), [])
        processes += below
        ahead += below
    return processes


def proportional_mb(process):
    """PSS: pages shared by n processes count as one n-th in each."""
    try:
        with (Path("/proc") / str(process) / "smaps_rollup").open() as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
    except OSError:
        return 0.0


class Peak(threading.Thread):
    """Watches the memory of everything below a process."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.mb, self.processes = root, 0.0, 0

    def run(self):
        while os.path.exists(f"/proc/{self.root}"):  # noqa: PTH110 - a moment is enough
            tree = tree_of(self.root)
            mb = sum(map(proportional_mb, tree))
            if mb > self.mb:
                self.mb, self.processes = mb, len(tree)
            time.sleep(0.1)


def test_twenty_thousand_readings_of_a_thousand_users(tmp_path, capsys):
    made = kalmap(
        *("simulate", "--users", 1007, "--days", 60, "--seed", 1, "--out", "in.jsonl"),
        cwd=tmp_path,
    )
    assert made.code == 0, made.err
    received = len((tmp_path / "in.jsonl").read_text().splitlines())
    began = time.monotonic()
    process = start("run", "in.jsonl", cwd=tmp_path)
    peak = Peak(process.pid)
    peak.start()
    out, err = process.communicate(timeout=120)
    seconds = time.monotonic() - began
    assert process.returncode == 0, out + err
    peak.join(5)

    summary = json.loads((tmp_path / "kalmap-out" / "latest" / "summary.json").read_text())
    assert summary["readings"]["received"] == received
    assert summary["database"]["write_units"] == summary["users"]["changed"]
    handlers = sum(summary["time"]["phases"].values())
    figures = (
        f"{received:,} readings of {summary['users']['total']:,} users: {seconds:.1f} s, of which "
        f"kalmap's handlers worked {handlers:.1f} s; the other {1 - handlers / seconds:.0%} are "
        f"the local cloud's. Memory: {peak.mb:.0f} MB at most, "
        f"in {peak.processes} processes."
    )
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")
    assert peak.mb < 600
