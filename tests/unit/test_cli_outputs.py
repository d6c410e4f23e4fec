"""Output files of commands: completely written or absent, and never written over other files."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from kalmap_cli.errors import DONE, FAILED, WRONG_USAGE, RunFailed, WrongUsage
from kalmap_cli.main import main
from kalmap_cli.output_files import check_outputs, open_output
from tests.support.kalmap_command import environment, kalmap, start
from tests.support.template import ROOT

SIMULATE = ("simulate", "--users", "30", "--days", "40", "--seed", "1", "--out")


def write(path, content=b"new\n"):
    with open_output(path) as file:
        file.write(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_link_stays_and_the_file_it_names_gets_the_content(tmp_path):
    (tmp_path / "there").mkdir()
    target, link, dangling = tmp_path / "there" / "a", tmp_path / "link", tmp_path / "dangling"
    target.write_bytes(b"old\n")
    link.symlink_to(target)
    dangling.symlink_to("there/b")
    for one in (link, dangling):
        write(one)
        assert one.is_symlink()
        assert one.read_bytes() == b"new\n"
    assert names(tmp_path / "there") == ["a", "b"]


def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe)
    reader.join(10)
    assert read == [b"new\n"]
    assert pipe.is_fifo()


def a_device(path, kind):
    """A device like this one, which a test may lose: as root, the machine's own could be lost."""
    if os.geteuid() == 0:
        os.mknod(path, 0o666 | stat.S_IFCHR, Path(kind).stat().st_rdev)
    else:
        path.symlink_to(kind)
    return path


def test_a_device_gets_the_content_and_stays_a_device(tmp_path):
    device = a_device(tmp_path / "nul", "/dev/null")
    write(device)
    assert device.is_char_device()
    assert names(tmp_path) == ["nul"]


def test_a_full_device_is_a_sentence_and_stays_a_device(tmp_path):
    device = a_device(tmp_path / "full", "/dev/full")
    with pytest.raises(RunFailed, match="could not be written: No space left on device"):
        write(device)
    assert device.is_char_device()


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_output_file_keeps_its_earlier_content_until_the_new_content_is_complete(
    tmp_path, trouble
):
    file = tmp_path / "file"
    file.write_bytes(b"old\n")
    new = tmp_path / "new"

    def half(path):
        with open_output(path) as opened:
            opened.write(b"half")
            opened.flush()
            raise trouble

    for path in (file, new):
        with pytest.raises((KeyboardInterrupt, RunFailed)):
            half(path)
    assert file.read_bytes() == b"old\n"
    assert names(tmp_path) == ["file"]


def test_a_replaced_file_keeps_its_mode(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"old\n")
    file.chmod(0o640)
    write(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.read_bytes() == b"new\n"


def test_a_file_that_cannot_be_written_is_refused_beforehand(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "no" / "x", tmp_path / "file" / "x", tmp_path / "loop"):
        with pytest.raises(WrongUsage, match="cannot be written"):
            check_outputs({"--out": path})
        with pytest.raises(WrongUsage, match="cannot be written"):
            write(path)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/proc/self/fd/1"])
def test_every_name_of_stdout_writes_into_what_stdout_is(tmp_path, name):
    (tmp_path / "so").symlink_to("/proc/self/fd/1")
    piped = kalmap(*SIMULATE, name, cwd=tmp_path)
    assert piped.code == 0, piped.err
    assert piped.out.startswith('{"user_id"')
    assert kalmap(*SIMULATE, "so", cwd=tmp_path).out == piped.out
    # Where stdout is a file that is appended to, what it holds stays.
    (tmp_path / "log").write_text("before\n")
    with (tmp_path / "log").open("ab") as log:
        process = start(*SIMULATE, name, cwd=tmp_path, stdout=log)
        assert process.wait(30) == 0
    assert (tmp_path / "log").read_text() == f"before\n{piped.out}"
    assert names(tmp_path) == ["log", "so"]


def test_a_full_disk_behind_stdout_is_a_sentence(tmp_path):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        for command in (("simulate", "--help"), (*SIMULATE, "-")):
            process = start(*command, cwd=tmp_path, stdout=full, PYTHONUNBUFFERED="")
            _, err = process.communicate(timeout=30)
            assert process.returncode == FAILED
            assert err == "kalmap: stdout could not be written: No space left on device.\n"


def test_an_input_is_never_overwritten_under_another_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*SIMULATE, "r.jsonl"]) == 0
    before = (tmp_path / "r.jsonl").read_bytes()
    (tmp_path / "link").symlink_to("r.jsonl")
    (tmp_path / "hard").hardlink_to("r.jsonl")
    (tmp_path / "d").mkdir()
    for out in ("r.jsonl", "./r.jsonl", "d/../r.jsonl", "link", "hard"):
        assert main(["tune", "r.jsonl", "--out", out]) == WRONG_USAGE
        assert "would overwrite r.jsonl, which this command reads" in capsys.readouterr().err
    (tmp_path / "p.json").write_text('{"broken": 1}')
    assert main(["tune", "r.jsonl", "--profile", "p.json", "--out", "p.json"]) == WRONG_USAGE
    assert (tmp_path / "p.json").read_text() == '{"broken": 1}'
    assert (tmp_path / "r.jsonl").read_bytes() == before


def test_two_outputs_must_be_different_files_even_if_neither_exists(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("a.jsonl")
    for truth in ("a.jsonl", "./a.jsonl", "link"):
        assert main([*SIMULATE, "a.jsonl", "--truth", truth]) == WRONG_USAGE
        assert "--out and --truth name the same file" in capsys.readouterr().err
    assert names(tmp_path) == ["link"]
    device = str(a_device(tmp_path / "nul", "/dev/null"))
    assert main([*SIMULATE, device, "--truth", device]) == 0


def test_an_output_file_whose_name_ends_like_another_format_is_refused(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main([*SIMULATE, "a.parquet"]) == WRONG_USAGE
    assert "--out a.parquet ends in .parquet" in capsys.readouterr().err
    assert main([*SIMULATE, "a.csv.gz", "--truth", "t.csv"]) == WRONG_USAGE
    assert "--truth t.csv ends in .csv" in capsys.readouterr().err
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_simulation_leaves_no_file_and_says_so(tmp_path, number):
    process = start("simulate", "--users", 9_000_000, "--days", 99, "--seed", 1, "--out", "r.csv",
                    "--truth", "t.jsonl", cwd=tmp_path)  # fmt: skip
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "kalmap: Interrupted. Nothing was changed.\n"
    assert names(tmp_path) == []


def test_a_reader_of_stdout_that_leaves_early_is_no_failure(tmp_path):
    process = start(*SIMULATE, "-", cwd=tmp_path)
    head = subprocess.run(["head", "-1"], stdin=process.stdout, capture_output=True, check=True)
    process.stdout.close()
    assert head.stdout.startswith(b"{")
    assert process.wait(30) == 0
    assert process.stderr.read() == ""


def test_ctrl_c_in_the_very_first_import_is_a_sentence(tmp_path):
    """What the installed program does, with a first import that presses Ctrl-C."""
    (tmp_path / "argparse.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["kalmap"].split(":")
    program = f"import sys\nfrom {module} import {function}\nsys.exit({function}())"
    path = os.pathsep.join((str(tmp_path), environment()["PYTHONPATH"]))
    process = subprocess.run(
        [sys.executable, "-c", program, "status"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert process.returncode == 130
    assert process.stderr == "kalmap: Interrupted. Nothing was changed.\n"


@pytest.mark.parametrize(
    "command",
    [
        ("simulate", "--users", "2", "--days", "2", "--seed", "1"),
        ("profiles", "new", "--unit", "lb", "--quantity", "body weight"),
        ("profiles", "schema"),
    ],
)
def test_a_file_that_exists_is_replaced_only_if_asked(command, tmp_path, capsys):
    out = tmp_path / "mine.json"
    out.write_text("mine")
    assert main([*command, "--out", str(out)]) == WRONG_USAGE
    said = capsys.readouterr().err
    assert f"{out} exists, and is not overwritten" in said
    assert "--replace" in said
    assert out.read_text() == "mine"
    assert main([*command, "--out", str(out), "--replace"]) == DONE
    assert out.read_text() != "mine"
