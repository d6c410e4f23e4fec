"""Workers of the local cloud: forks, with code that is unpacked once."""

import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from ministack.core import lambda_runtime
from ministack.services import stepfunctions

from kalmap_cli.local.emulator import code_folders, forked_workers, log_lines, step_calls

PROGRAM = """
import json, os, sys
print(json.dumps([
    sys.stdin.readline().strip(), os.getcwd(), dict(os.environ), sys.argv, __name__,
    sorted({"boto3", "numpy", "aws_lambda_powertools"} & {*sys.modules}), "kalmap" in sys.modules,
    open("/proc/self/comm").read().strip(), sorted(os.listdir("/proc/self/fd")),
]), flush=True)
print("\\u00e4 to the log", file=sys.stderr)
sys.stdin.readline()
"""

CONFIG = {
    "FunctionName": "f",
    "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:f",
    "Runtime": "python3.13",
    "Handler": "pack.code.handler",
}

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks workers")


@pytest.fixture(scope="module")
def forking():
    """The changed module subprocess of ministack's workers. Its template is for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setattr(lambda_runtime, "subprocess", subprocess)
        forked_workers.install(forked_workers.Template())
        yield lambda_runtime.subprocess
        if lambda_runtime.subprocess is not subprocess:
            lambda_runtime.subprocess._template.close()


@pytest.fixture
def changed(forking, monkeypatch):
    """ministack's module for workers, changed as in a local cloud."""
    monkeypatch.setattr(lambda_runtime, "zipfile", zipfile)
    code_folders.install()
    return lambda_runtime


def start(module, folder, program=PROGRAM, **env):
    """Start a worker as ministack does."""
    path = folder / "_worker.py"
    path.write_text(program)
    pipe = module.subprocess.PIPE
    return module.subprocess.Popen(
        [sys.executable, str(path)],
        cwd=str(folder),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        bufsize=1,
        env=env,
    )


@on_linux
def test_a_worker_is_a_fork_with_its_own_environment_folder_and_pipes(changed, tmp_path):
    name = "kalmap-FilterFunction-1A2B"
    worker = start(changed, tmp_path, AWS_LAMBDA_FUNCTION_NAME=name, ONLY="this")
    assert isinstance(worker, forked_workers.ForkedWorker)
    worker.stdin.write("a line\n")
    said, cwd, env, argv, main, imported, own, title, files = json.loads(worker.stdout.readline())
    assert (said, cwd, main) == ("a line", str(tmp_path), "__main__")
    assert env == {"AWS_LAMBDA_FUNCTION_NAME": name, "ONLY": "this"}
    assert argv == [str(tmp_path / "_worker.py")]
    # What takes time has been imported for it, but nothing of the function's own code.
    assert imported == ["aws_lambda_powertools", "boto3", "numpy"]
    assert not own
    assert title == "Filter"
    # Its pipes, and the folder that is being listed: nothing of another worker or of the lock.
    assert files == ["0", "1", "2", "3"]
    assert worker.poll() is None
    worker.stdin.close()
    assert worker.stderr.read() == "ä to the log\n"
    assert worker.wait(10) is not None


@on_linux
def test_a_worker_that_ends_is_noticed_and_is_no_zombie(changed, tmp_path):
    for end in ("terminate", "kill"):
        worker = start(changed, tmp_path, "import time; time.sleep(60)")
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(0.01)
        getattr(worker, end)()
        worker.wait(10)
        worker.terminate()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{worker.pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not Path(f"/proc/{worker.pid}").exists()
    failed = start(changed, tmp_path, "raise ValueError('this')")
    assert failed.stdout.readline() == ""
    assert failed.stderr.read().endswith("ValueError: this\n")


@on_linux
def test_where_the_template_has_ended_a_worker_starts_as_ever_and_the_next_is_a_fork(
    changed, tmp_path
):
    first = start(changed, tmp_path, "import os; print(os.getppid(), flush=True)")
    template = int(first.stdout.readline())
    os.kill(template, 9)
    first.wait(10)
    spawned = start(changed, tmp_path, "print(1)")
    assert isinstance(spawned, subprocess.Popen)
    assert spawned.communicate()[0] == "1\n"
    again = start(changed, tmp_path, "print(1)")
    assert isinstance(again, forked_workers.ForkedWorker)
    assert again.stdout.readline() == "1\n"


@pytest.fixture
def with_library(tmp_path, monkeypatch):
    """Makes the folder of a worker whose code has a library that says which process imported it."""
    monkeypatch.setattr(code_folders.tempfile, "tempdir", str(tmp_path))

    def make(name, version):
        folder = tmp_path / name
        folder.mkdir()
        with zipfile.ZipFile(folder / "code.zip", "w") as package:
            for module in ("", "pipeline/", "store/", "store/dynamodb/"):
                package.writestr(f"kalmap/{module}__init__.py", "")
            package.writestr("kalmap/store/dynamodb/batches.py", "")
            package.writestr("kalmap/store/dynamodb/states.py", "")
            package.writestr("kalmap/pipeline/step.py", f"import os\nby = {version}, os.getpid()\n")
        with lambda_runtime.zipfile.ZipFile(folder / "code.zip") as archive:
            archive.extractall(folder)
        return folder

    return make


SHOW = """
import json, os, sys
imported = "kalmap.pipeline.step" in sys.modules
sys.path.insert(0, os.getcwd())
from kalmap.pipeline import step
print(json.dumps([imported, *step.by, os.getpid(), os.getppid()]), flush=True)
sys.stdin.readline()
"""


@on_linux
def test_workers_with_the_same_code_have_its_library_imported_once(changed, with_library):
    folders = [with_library(name, version) for name, version in (("a", 1), ("b", 1), ("c", 2))]
    workers = [start(changed, folder, SHOW) for folder in folders]
    one, same, other = (json.loads(worker.stdout.readline()) for worker in workers)
    assert all(imported for imported, *_ in (one, same, other))
    # Of its own code, by the process that it is a fork of.
    assert [version for _, version, *_ in (one, same, other)] == [1, 1, 2]
    assert one[2] == one[4] == same[2] == same[4]
    assert other[2] == other[4] != one[2]
    assert one[3] != same[3]
    # If that process is killed, the next worker imports the library itself.
    os.kill(one[2], 9)
    worker = start(changed, with_library("d", 1), SHOW)
    imported, version, by, own, _ = json.loads(worker.stdout.readline())
    assert (imported, version, by) == (False, 1, own)
    worker.kill()
    for worker in workers:
        worker.kill()


@on_linux
def test_a_template_that_ends_takes_those_with_its_code_along(changed, with_library):
    folder = with_library("a", 1)
    template = forked_workers.Template()
    (folder / "_worker.py").write_text(SHOW)
    environment = {"PATH": os.environ["PATH"]}
    worker = forked_workers.ForkedWorker(
        template, str(folder / "_worker.py"), str(folder), environment
    )
    imported, *_, own, parent = json.loads(worker.stdout.readline())
    assert imported
    worker.stdin.close()
    worker.wait(10)
    template.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in (own, parent)):
        assert time.monotonic() < deadline, "they still run"
        time.sleep(0.01)


@on_linux
def test_the_template_can_start_before_the_first_worker_and_starts_once(forking):
    template = forking._template
    template.start()
    line = template._line
    assert line is not None
    template.start()
    assert template._line is line


def test_where_forks_are_not_safe_workers_start_as_ever(monkeypatch):
    monkeypatch.setattr(forked_workers.sys, "platform", "darwin")
    monkeypatch.setattr(lambda_runtime, "subprocess", subprocess)
    forked_workers.install(forked_workers.Template())
    assert lambda_runtime.subprocess is subprocess


def invoke(module, code):
    """What a function with this code returns on a worker of its own."""
    worker = module.Worker("f", CONFIG, code)
    try:
        answer = worker.invoke({"n": 1}, "request")
        assert answer["status"] == "ok", answer
        return answer["result"]
    finally:
        worker.kill()


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A function that says where its module lies, in a zip; unpacked in this test's folder."""
    monkeypatch.setattr(code_folders.tempfile, "tempdir", str(tmp_path))
    archive = tmp_path / "made.zip"
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("pack/__init__.py", "")
        package.writestr(
            "pack/code.py",
            "import os\ndef handler(event, context):\n"
            "    return [event, os.path.realpath(__file__), os.getcwd()]\n",
        )
    return archive.read_bytes()


def test_workers_share_unpacked_and_compiled_code(changed, code, tmp_path):
    """If the last line fails, ministack shares code by itself, and code_folders is needless."""
    answers = [invoke(changed, code) for _ in range(2)]
    (event, first, one), (_, second, other) = answers
    assert event == {"n": 1}
    assert first == second
    assert one != other
    assert list(Path(first).parent.glob("__pycache__/code.*.pyc"))
    assert len(list(tmp_path.glob("code-*"))) == 1
    # Without the change each worker has its own.
    changed.zipfile = zipfile
    assert invoke(changed, code)[1] != first


LOGS = """
import sys
def handler(event, context):
    for n in range(event["lines"]):
        print(f"line {n} \\u00e4", file=sys.stderr)
    print("x" * event["long"], file=sys.stderr)
    if event["fails"]:
        raise ValueError("this")
"""


@pytest.fixture
def logging_worker(changed, tmp_path, monkeypatch):
    """A worker whose function logs, with a count of the pauses while its log is read."""
    monkeypatch.setattr(code_folders.tempfile, "tempdir", str(tmp_path))
    for name in ("_read_stderr", "_drain_stderr_bounded"):
        monkeypatch.setattr(changed.Worker, name, getattr(changed.Worker, name))
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as package:
        package.writestr("pack/code.py", LOGS)
    code = (tmp_path / "made.zip").read_bytes()
    pauses = []
    monkeypatch.setattr(changed, "time", CountedPauses(pauses))
    worker = changed.Worker("f", CONFIG, code)
    yield worker, pauses
    worker.kill()


class CountedPauses:
    """The module time, which counts pauses."""

    def __init__(self, pauses):
        self.sleep = pauses.append

    def __getattr__(self, name):
        return getattr(time, name)


def event(lines, long=1, fails=False):
    return {"lines": lines, "long": long, "fails": fails}


def test_all_lines_of_a_call_are_read_without_a_pause(logging_worker):
    worker, pauses = logging_worker
    log_lines.install()
    for lines, long in ((0, 1), (3, 1), (2000, 1), (1, 200_000), (0, 1)):
        answer = worker.invoke(event(lines, long), "request")
        expected = [*(f"line {n} ä" for n in range(lines)), "x" * long]
        assert answer["log"].split("\n") == expected
    failed = worker.invoke(event(2, fails=True), "request")
    assert failed["status"] == "error"
    assert failed["log"].startswith("line 0 ä\nline 1 ä\nx")
    again = worker.invoke(event(1), "request")
    assert again["log"] == "line 0 ä\nx"
    assert pauses == []


def test_without_the_change_there_are_pauses(logging_worker):
    """If this fails, ministack waits no more, and log_lines is needless."""
    worker, pauses = logging_worker
    worker.invoke(event(3), "request")
    assert pauses


def test_code_that_cannot_be_unpacked_leaves_nothing_behind(changed, tmp_path, monkeypatch):
    monkeypatch.setattr(code_folders.tempfile, "tempdir", str(tmp_path))
    path = tmp_path / "code.zip"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("a.py", "x = 1\n" * 1000)
    spoilt = bytearray(path.read_bytes())
    spoilt[40:50] = b"0123456789"
    path.write_bytes(spoilt)
    with changed.zipfile.ZipFile(path) as archive, pytest.raises(zipfile.BadZipFile):
        archive.extractall(tmp_path / "worker")
    assert [entry.name for entry in tmp_path.iterdir()] == ["code.zip"]


def most_at_once(monkeypatch, limit):
    """How many of eight calls of state machines run at once, if each waits for the others."""
    running, most, here = [], [], threading.Barrier(8)

    def call(function, event):
        running.append(event)
        most.append(len(running))
        with suppress(threading.BrokenBarrierError):
            here.wait(0.1)
        running.remove(event)
        return function, event

    monkeypatch.setattr(stepfunctions, "_call_lambda", call)
    if limit:
        step_calls.install(limit)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: stepfunctions._call_lambda("f", n), range(8)))
    assert answers == [("f", n) for n in range(8)]
    return max(most)


def test_no_more_calls_of_state_machines_run_at_once_than_allowed(monkeypatch):
    assert most_at_once(monkeypatch, 3) == 3
    assert most_at_once(monkeypatch, None) == 8


def test_a_call_that_fails_makes_room_for_the_next(monkeypatch):
    def fail(function, event):
        raise ValueError(event)

    monkeypatch.setattr(stepfunctions, "_call_lambda", fail)
    step_calls.install(1)
    for n in range(3):
        with pytest.raises(ValueError, match=str(n)):
            stepfunctions._call_lambda("f", n)
