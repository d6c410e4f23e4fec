"""`kalmap serve`, and the commands that docs/api.md shows, run with curl as they stand there."""

import json
import re
import shutil
import signal
import subprocess
import time

import pytest

from tests.e2e.commands import ROOT, environment, kalmap, processes_of, start

PAGE = (ROOT / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder with a data directory that is being served."""
    folder = tmp_path_factory.mktemp("served")
    process = start("serve", cwd=folder)
    deadline = time.monotonic() + 60
    while not (folder / ".kalmap" / "api-url").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield folder, process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def shell(folder, script):
    """Run a script as a user would, and give the JSON values that it printed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    values, rest, decoder = [], done.stdout.strip(), json.JSONDecoder()
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].strip()
    return values


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_pages_commands_work_in_their_order(served):
    folder, _ = served
    prelude, measurements, users, batches, batch = BLOCKS
    [answer] = shell(folder, prelude + measurements)
    assert [r["reason"] for r in answer["results"]] == [None, None, "bad_value"]
    now, later = shell(folder, prelude + users)
    assert now["readings"] == 2
    assert later["level_sd"] > now["level_sd"]
    started, _, upload = shell(folder, prelude + batches)
    assert started["status"] == "STARTING"
    deadline = time.monotonic() + 60
    while True:
        shown, *_ = shell(folder, f"{prelude}$CURL $API/batches/{started['batch_id']}")
        if shown["status"] not in {"STARTING", "RUNNING"}:
            break
        assert time.monotonic() < deadline
        time.sleep(0.3)
    shown, results = shell(folder, prelude + batch)
    assert (shown["status"], shown["accepted"]) == ("SUCCEEDED", 1)
    assert [r["value"] for r in results["results"]] == [80.9]
    # The upload is put as the page says.
    (folder / "weights.csv").write_text("user_id,timestamp,value\nu-9,2026-03-01T00:00:00Z,70\n")
    shell(folder, f"curl -sS -T weights.csv '{upload['url']}'")
    while True:
        listed, *_ = shell(folder, f"{prelude}$CURL $API/batches")
        if len(listed["batches"]) == 2 and listed["batches"][0]["status"] == "SUCCEEDED":
            break
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_ctrl_c_ends_it_and_what_it_stored_is_kept(served):
    folder, process = served
    again = kalmap("serve", cwd=folder)
    assert again.code == 2
    assert "in use" in again.err
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in complaints
    assert "$CURL $API/measurements" in said
    assert said.endswith("Stopped. States and batches are kept.\n")
    assert not (folder / ".kalmap" / "api-url").exists()
    assert processes_of(folder / ".kalmap") == []
    states = kalmap("states", cwd=folder)
    assert '"user_id":"u-17"' in states.out
