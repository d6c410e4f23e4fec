"""An interrupted, killed or repeated run leaves no process, keeps the states, and says so."""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from kalmap.profile import builtin_profile
from tests.support.expected_files import fold_files, stored
from tests.support.faults import FAULTS_MODULE, rule
from tests.support.kalmap_command import environment, kalmap, processes_of, start


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Two consecutive files of readings, and a data directory in which the first was run."""
    directory = tmp_path_factory.mktemp("interrupted")
    made = kalmap(
        *("simulate", "--users", 400, "--days", 40, "--seed", 9, "--out", "all.jsonl"),
        cwd=directory,
    )
    assert made.code == 0, made.err
    lines = (directory / "all.jsonl").read_text().splitlines(keepends=True)
    half = len(lines) // 2
    (directory / "first.jsonl").write_text("".join(lines[:half]))
    (directory / "second.jsonl").write_text("".join(lines[half:]))
    ran = run(directory, "first.jsonl")
    assert ran.code == 0, ran.err
    return directory


def run(directory, file):
    return kalmap("run", file, cwd=directory)


def states(directory):
    listed = kalmap("states", "--exact", cwd=directory)
    assert listed.code == 0, listed.err
    return listed.out


def statuses(directory):
    listed = kalmap("status", cwd=directory)
    assert listed.code == 0, listed.err
    return [line.split()[1] for line in listed.out.splitlines()[1:]]


@contextmanager
def a_run_that_says(directory, beginning, *more, **variables):
    """A second batch in progress, given as soon as it prints a line that begins so."""
    process = start("run", "second.jsonl", *more, cwd=directory, **variables)
    assert process.stderr
    try:
        for line in process.stderr:
            if line.startswith(beginning):
                break
        else:
            pytest.fail(f"the run never said {beginning}")
        yield process
    finally:
        process.kill()
        process.communicate()


def a_run_that_has_left(directory, state, **variables):
    """A second batch in progress, given as soon as it says that it has left a state."""
    return a_run_that_says(directory, f"  {state} ", **variables)


def with_fault(modules, fault):
    """Variables of a run whose local cloud has a fault."""
    shutil.copy(FAULTS_MODULE, modules)
    plan = {"name": "fault", "rules": [fault]}
    (modules / "plan.json").write_text(json.dumps(plan))
    return {"PYTHONPATH": os.pathsep.join((str(modules), environment()["PYTHONPATH"]))}


@pytest.fixture
def held(tmp_path):
    """Variables of a run whose local cloud holds its first worker that filters."""
    return with_fault(tmp_path, rule("Filter", "GetObject", "held"))


def slow(modules, function):
    """Variables of a run that waits for a function, and so is interrupted while it waits."""
    return with_fault(modules, rule(function, "GetObject", "delayed", seconds=2.0))


def interrupted(process, number=signal.SIGINT):
    """Interrupt a command; gives the last sentence, and the line before it."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    return err.splitlines()[-1], err.splitlines()[:-1]


def typed(sentence):
    """The command that a sentence names."""
    [command] = re.findall(r"`kalmap ([^`]*)`", sentence)
    return command.split()


def as_typed(sentence, directory):
    """Run the command that a sentence names as a user does; gives its exit code and stderr."""
    process = start(*typed(sentence), cwd=directory)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def ports_of(directory):
    """Ports that the local cloud of a directory listens on, by `ss`-like look into /proc."""
    ports = []
    for line in processes_of(directory):
        if "cloud_process.py" in line:
            with open(f"/proc/{line.split()[0]}/environ", "rb") as file:  # noqa: PTH123
                variables = dict(
                    entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry
                )
            ports.append(int(variables[b"GATEWAY_PORT"]))
    return ports


def is_free(port):
    connected = subprocess.run(
        ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], capture_output=True, check=False
    )
    return connected.returncode != 0


def wait_until_gone(directory, seconds):
    deadline = time.monotonic() + seconds
    while processes_of(directory / ".kalmap"):
        assert time.monotonic() < deadline, processes_of(directory / ".kalmap")
        time.sleep(0.05)


def assert_both_files_count_once(directory):
    profile = builtin_profile("body-weight")
    first = fold_files(profile, [directory / "first.jsonl"])
    both = fold_files(profile, [directory / "second.jsonl"], first)
    assert stored(states(directory)) == both


def test_ctrl_c_leaves_nothing_running_and_the_states_as_they_were(directory, tmp_path):
    before = states(directory)
    with a_run_that_has_left(directory, "PlanShards", **slow(tmp_path, "Load")) as process:
        ports = ports_of(directory / ".kalmap")
        assert len(ports) == 1
        assert not is_free(ports[0])

        sentence, steps = interrupted(process)
    assert "was stopped before it wrote any state" in sentence
    assert typed(sentence)[0] == "retry"
    assert any(line.endswith(", not finished") for line in steps)
    assert processes_of(directory / ".kalmap") == []
    assert is_free(ports[0])
    assert states(directory) == before
    assert "running" not in statuses(directory)


def test_a_directory_in_use_is_refused_to_another_command(directory):
    with a_run_that_has_left(directory, "IdentifyBatch") as process:
        # Held where it is, so that it does not end meanwhile.
        os.kill(process.pid, signal.SIGSTOP)
        for command in (("run", "second.jsonl", "--fresh"), ("serve",)):
            other = kalmap(*command, cwd=directory)
            assert other.code == 2
            assert f"in use by another kalmap command (process {process.pid})" in other.err
    wait_until_gone(directory, 20)


def test_an_interruption_before_the_start_starts_no_batch(directory):
    before = statuses(directory)
    with a_run_that_says(directory, "Starting the local cloud", "--out", "never") as process:
        sentence, _ = interrupted(process, signal.SIGTERM)
    assert sentence == "kalmap: Interrupted. Nothing was started."
    assert not (directory / "never").exists()
    assert statuses(directory) == before


def test_an_interruption_during_writing_is_reported_and_the_shown_command_works(
    directory, tmp_path
):
    with a_run_that_has_left(directory, "AggregateResults", **slow(tmp_path, "Write")) as process:
        sentence, _ = interrupted(process)
    assert "was stopped while it wrote states, and some may have been written" in sentence
    code, err = as_typed(sentence, directory)
    assert code == 0, err
    assert_both_files_count_once(directory)


def test_a_batch_interrupted_after_its_end_succeeded_and_its_results_are_available(directory):
    (directory / "held").mkdir()
    held = os.open(directory / "held", os.O_RDONLY)
    # A command that writes into a folder waits until the folder's lock is free.
    fcntl.flock(held, fcntl.LOCK_EX)
    with a_run_that_says(directory, "Fetching the results", "--out", "held") as process:
        time.sleep(0.3)
        sentence, _ = interrupted(process)
    os.close(held)
    assert "has succeeded, and what it wrote is stored" in sentence
    assert list((directory / "held").iterdir()) == []
    assert_both_files_count_once(directory)

    listed = kalmap("status", typed(sentence)[1], cwd=directory)
    assert typed(listed.out) == typed(sentence)
    code, err = as_typed(sentence, directory)
    assert code == 0, err
    summary = json.loads((directory / "DIR" / "summary.json").read_text())
    lines = (directory / "DIR" / "results.jsonl").read_bytes().splitlines()
    assert len(lines) == summary["readings"]["received"] > 0


def test_a_killed_run_ends_its_local_cloud_and_a_second_run_completes_the_work(directory):
    # Until here no state has been touched; from here on they are written, shard by shard.
    with a_run_that_has_left(directory, "AggregateResults") as process:
        os.kill(process.pid, signal.SIGKILL)
    wait_until_gone(directory, 20)

    again = run(directory, "second.jsonl")
    assert again.code == 0, again.err
    assert "running" not in statuses(directory)
    # Each state that was written before the kill was written once and completely.
    assert_both_files_count_once(directory)


def test_after_a_kill_during_writing_the_next_run_names_the_command_for_all_decisions(directory):
    options = ("--data-dir", "killed")
    with a_run_that_says(directory, "  WriteStates ", *options) as process:
        os.kill(process.pid, signal.SIGKILL)
    for _ in range(2):
        again = kalmap("run", "second.jsonl", *options, cwd=directory)
        assert again.code == 0, again.err
        assert "accepted            0" in again.out
        [sentence] = [line for line in again.out.splitlines() if "has read the same" in line]
        code, err = as_typed(sentence, directory)
        assert code == 0, err
    whole = kalmap(
        *("run", "second.jsonl", "--data-dir", "whole", "--out", "whole-out"), cwd=directory
    )
    assert whole.code == 0, whole.err
    results = directory / "kalmap-out" / typed(sentence)[1] / "results.jsonl"
    assert results.read_bytes() == (directory / "whole-out" / "results.jsonl").read_bytes()


def test_a_run_after_one_that_was_stopped_before_it_stored_anything_names_no_earlier_batch(
    directory,
):
    options = ("--data-dir", "stopped")
    with a_run_that_says(
        directory, "  FilterUsers ", *options, "--limits", "unusable=0"
    ) as process:
        os.kill(process.pid, signal.SIGKILL)
    again = kalmap("run", "second.jsonl", *options, cwd=directory)
    assert again.code == 0, again.err
    assert "duplicate" in again.out
    assert "has read the same" not in again.out


def test_a_second_run_goes_on_when_the_one_that_started_the_cloud_is_killed(directory, held):
    (directory / "few.jsonl").write_text(
        '{"user_id": "few", "timestamp": "2025-12-31T07:00:00Z", "value": 80}\n'
    )
    with a_run_that_has_left(directory, "IdentifyBatch", **held) as process:
        # How far a batch is can be seen from outside.
        [running] = [
            line.split()[0]
            for line in kalmap("status", cwd=directory).out.splitlines()
            if line.split()[1] == "running"
        ]
        shown = kalmap("status", running, cwd=directory)
        assert re.search(r"^phase +[A-Z]\w+( \d+/\d+ (shards|chunks))?$", shown.out, re.MULTILINE)
        guest = start("run", "few.jsonl", "--out", "few", cwd=directory)
        assert guest.stderr
        assert guest.stderr.readline() == "Using the local cloud that is already running\n"
        process.kill()
        out, err = guest.communicate(timeout=60)
    assert guest.returncode == 0, err
    assert "accepted            1" in out
    wait_until_gone(directory, 20)
    assert '"user_id":"few"' in states(directory)


def test_a_local_cloud_that_is_killed_ends_the_run_with_a_sentence_and_the_next_one_works(
    directory, held
):
    before = states(directory)
    with (
        a_run_that_has_left(directory, "PlanBatch", **held) as process,
        a_run_that_has_left(directory, "IdentifyBatch") as guest,
    ):
        clouds = [line for line in processes_of(directory / ".kalmap") if "cloud_process" in line]
        assert len(clouds) == 1
        os.kill(int(clouds[0].split()[0]), signal.SIGKILL)
        for each in (process, guest):
            _, err = each.communicate(timeout=60)
            assert each.returncode == 1
            assert "Traceback" not in err
            assert "The local cloud ended unexpectedly; its log is" in err.splitlines()[-1]
    wait_until_gone(directory, 20)
    assert states(directory) == before
    listed = kalmap("status", cwd=directory).out.splitlines()
    reason, *_ = (line for line in listed if "; `kalmap retry" in line)
    again = kalmap(*typed(reason), cwd=directory)
    assert again.code == 0, again.err
