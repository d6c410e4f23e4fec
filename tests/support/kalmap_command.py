"""The command in a process of its own, and the processes that it may have left running."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from kalmap_cli.local.access_files import ACCESS_KEY, REGION
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.deploy import STACK
from tests.support import forked_command, forked_programs

ROOT = Path(__file__).resolve().parents[2]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """The environment of a user without AWS settings who has the packages under test."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    packages = (str(ROOT / "functions"), str(ROOT / "cli"))
    return others | {"PYTHONPATH": os.pathsep.join(packages)} | more


def start(
    *arguments: object, cwd: Path, stdout: IO[bytes] | int = subprocess.PIPE, **more: str
) -> subprocess.Popen[str]:
    """Start a `kalmap` command as a user does."""
    return subprocess.Popen(
        [sys.executable, "-m", "kalmap_cli.main", *map(str, arguments)],
        cwd=cwd,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def kalmap(*arguments: object, cwd: Path, **more: str) -> Outcome:
    """Run a `kalmap` command to its end, and check that it shows no traceback.

    On Linux it is a fork of a process that has imported what commands import.
    """
    if sys.platform == "linux":
        words = [*map(str, arguments)]
        ended = Outcome(*forked_command.run(words, cwd, environment(**more), timeout=120))
    else:
        process = start(*arguments, cwd=cwd, **more)
        out, err = process.communicate(timeout=120)
        ended = Outcome(process.returncode, out, err)
    assert "Traceback" not in ended.out + ended.err
    return ended


def processes_of(data_dir: Path) -> list[str]:
    """The local cloud of a data directory and its workers, as lines of `ps`."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    own = str(os.getpid())
    return [
        line
        for line in listed
        if (str(data_dir) in line or is_fork_in(data_dir, line))
        and "kalmap_cli.main" not in line
        and line.split()[0] != own
    ]


def is_fork_in(data_dir: Path, line: str) -> bool:
    """Whether a line of `ps` is of a program that is a fork, and works below a directory."""
    if forked_programs.TEMPLATE.name not in line:
        return False
    with suppress(OSError):
        return Path(f"/proc/{line.split(maxsplit=1)[0]}/cwd").readlink().is_relative_to(data_dir)
    return False


class SharedCloud(NamedTuple):
    """A local cloud that runs for the whole test session and is used like AWS."""

    cloud: LocalCloud
    directory: Path

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that make AWS's tools use it."""
        return {
            "AWS_ENDPOINT_URL": self.cloud.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": self.cloud.secret,
            "AWS_DEFAULT_REGION": REGION,
        }

    def run(self, *arguments: object, cwd: Path) -> Outcome:
        """Run `kalmap run … --stack` on it."""
        return self.kalmap("run", *arguments, cwd=cwd)

    def kalmap(self, *arguments: object, cwd: Path) -> Outcome:
        """Run a `kalmap` command with `--stack` on it."""
        return kalmap(*arguments, "--stack", STACK, cwd=cwd, **self.variables)
