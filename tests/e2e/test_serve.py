"""`kalmap serve`: what it says works, one command at a time has the directory, Ctrl-C ends it."""

import json
import shutil
import signal
import subprocess
import time

import pytest

from tests.e2e.commands import environment, kalmap, processes_of, start


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with a data directory that is being served, and what was said by then."""
    folder = tmp_path_factory.mktemp("served")
    process = start("serve", "--data-dir", "my data", cwd=folder)
    said = []
    deadline = time.monotonic() + 60
    while not said or not said[-1].startswith("Ctrl-C"):
        assert time.monotonic() < deadline
        said.append(process.stdout.readline())
        assert said[-1], process.stderr.read()
    yield folder, process, "".join(said)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_lines_that_it_shows_work_as_they_stand(served):
    folder, _, said = served
    shown = [line for line in said.splitlines() if line.startswith("  ")]
    address, *lines = (line.removeprefix("  ") for line in shown)
    assert (folder / "my data" / "api-url").read_text() == f"{address}\n"
    assert all(len(line) <= 80 for line in said.splitlines() if address not in line)
    told = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()
    answer, user = map(json.loads, told)
    assert [one["status"] for one in answer["results"]] == ["accepted"]
    assert user["level"] == 81.4


def test_ctrl_c_ends_it_and_what_it_stored_is_kept(served):
    folder, process, _ = served
    again = kalmap("serve", "--data-dir", "my data", cwd=folder)
    assert again.code == 2
    assert "in use" in again.err
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in complaints
    assert said.endswith("Stopped. States and batches are kept.\n")
    assert not (folder / "my data" / "api-url").exists()
    assert not (folder / "my data" / "bucket").exists()
    assert processes_of(folder / "my data") == []
    states = kalmap("states", "--data-dir", "my data", cwd=folder)
    assert '"user_id":"u-17"' in states.out
