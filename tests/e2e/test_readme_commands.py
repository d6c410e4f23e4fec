"""The commands that README.md shows, run by a shell in their order."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.kalmap_command import SharedCloud, environment
from tests.support.readme_blocks import KALMAP, SERVE, api_blocks, blocks
from tests.support.template import ROOT

#: Printed between blocks, to tell their answers from each other.
BETWEEN = "----"
PICTURE = ROOT / "examples" / "picture.py"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder in which the programs that `make setup` installs are where they are then."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv" / "bin").mkdir(parents=True)
    for name, arguments in (("python", ""), ("kalmap", " -m kalmap_cli.main")):
        program = folder / ".venv" / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n')
        program.chmod(0o755)
    return folder


def shell(folder: Path, script: str, **more: str) -> str:
    """Run a script as it stands; gives what it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readmes_commands_work_in_their_order(checkout: Path, shared: SharedCloud) -> None:
    shown = [
        line
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith(KALMAP) and line != SERVE.strip()
    ]
    assert [line.split()[1] for line in shown] == [
        *("simulate", "run", "status", "states", "tune", "run", "run"),
    ]
    printed_by: dict[str, str] = {}
    for line in shown:
        # Each ends well, also the tuned profile beside states of the one it was fitted from.
        printed = shell(checkout, line, **(shared.variables if "--stack" in line else {}))
        printed_by.setdefault(line.split()[1], printed)
    received = len((checkout / "readings.jsonl").read_bytes().splitlines())
    assert received > 0
    assert f"{received:,}" in printed_by["status"]
    assert len((checkout / "truth.jsonl").read_bytes().splitlines()) == received
    results = (checkout / "results" / "results.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["index"] for line in results] == list(range(received))
    tuned = json.loads((checkout / "tuned" / "summary.json").read_text())
    first = json.loads((checkout / "results" / "summary.json").read_text())
    assert f"{first['users']['total']} users, in kg" in printed_by["states"]
    assert tuned["users"]["new"] == first["users"]["total"]
    assert {file.name for file in (checkout / "results").iterdir()} == {
        "results.jsonl",
        "unreadable.jsonl",
        "rejected.jsonl",
        "summary.json",
    }
    shell(checkout, f".venv/bin/python {PICTURE} results/results.jsonl u-000174 picture.svg")
    assert (checkout / "picture.svg").read_text() == (ROOT / "docs" / "readings.svg").read_text()


@pytest.fixture
def served(checkout: Path):
    """The folder while its API is served, by the line that README.md shows."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {SERVE}"],
        cwd=checkout,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (checkout / ".kalmap" / "api-url").exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield checkout
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0


def answers(printed: str) -> list[Any]:
    """The API's answers among what a script printed."""
    objects = re.findall(r"^\{$.*?^\}$", printed, re.MULTILINE | re.DOTALL)
    return [json.loads(one) for one in objects]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_readmes_requests_are_answered_in_their_order(served: Path) -> None:
    printed = shell(served, f"echo {BETWEEN}\n".join(api_blocks())).split(BETWEEN)
    health, users, batch, batches = map(answers, printed)

    assert [answer["status"] for answer in health] == ["ok"]

    answer, now, later = users
    assert [one["status"] for one in answer["results"]] == ["accepted", "accepted", "unreadable"]
    assert [one["reason"] for one in answer["unreadable"]] == ["bad_value"]
    assert now["level"] == answer["results"][1]["level"]
    assert (now["readings"], now["at"]) == (2, None)
    assert later["at"] == "2026-04-01T00:00:00Z"
    assert later["level_sd"] > now["level_sd"]

    progress = printed[2].partition("{")[0]
    assert re.fullmatch(r'(\s+"(status|phase)": "\w+",)*\s*', progress)
    ended, page = batch
    assert (ended["status"], ended["received"], ended["accepted"]) == ("SUCCEEDED", 1, 1)
    [result] = page["results"]
    assert (result["user_id"], result["value"]) == ("u-17", 80.9)

    started, listed = batches
    assert started["status"] == "STARTING"
    assert ended["batch_id"] in {one["batch_id"] for one in listed["batches"]}
    # The last line once more, until all have ended.
    last = f"{api_blocks()[0]}{api_blocks()[-1].splitlines()[-1]}"
    deadline = time.monotonic() + 60
    while {one["status"] for one in listed["batches"]} != {"SUCCEEDED"} or (
        started["batch_id"] not in {one["batch_id"] for one in listed["batches"]}
    ):
        assert time.monotonic() < deadline
        _, listed = answers(shell(served, last))
    newest = listed["batches"][:3]
    assert [one["received"] for one in newest] == [1, 1, 1]
    # The last two hold the same reading, which is accepted once and then a duplicate.
    assert sum(one["accepted"] for one in newest) == 2
