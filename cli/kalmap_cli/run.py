"""`kalmap run`: a batch of files, from checking them to the results in a directory."""

import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3.session
import msgspec
from botocore.exceptions import BotoCoreError

from kalmap.errors import InvalidProfile, UnknownFormat
from kalmap.profile import Profile, builtin_profile, load_profile
from kalmap.records.formats import detect_format
from kalmap_cli import drive
from kalmap_cli.cloud import Clients, LocalCloud
from kalmap_cli.data_dir import DataDirectory
from kalmap_cli.deploy import STACK, deploy
from kalmap_cli.exits import DONE, RunFailed, WrongUsage
from kalmap_cli.screen import ID_SHOWN, Screen, print_summary

_HEAD_BYTES = 65_536
#: Seconds between two looks at a batch. AWS limits how often its API may be asked.
_LOCAL_INTERVAL = 0.15
_AWS_INTERVAL = 1.0

#: Enough for a worker to be worth its start, which takes half a second of a core.
_LOCAL_READINGS_PER_SHARD = "5000"
#: Lets a run on little data show more than one shard; examples/demo.py uses it.
READINGS_PER_SHARD_VARIABLE = "KALMAP_READINGS_PER_SHARD"


class Target(NamedTuple):
    """Where batches run."""

    clients: Clients
    stack: drive.Stack
    interval: float
    """Seconds between two looks at a batch."""


def run(
    files: Sequence[Path],
    out: Path,
    profile: str | None,
    data_dir: Path | None,
    stack: str | None,
    *,
    fresh: bool,
) -> int:
    """Run a batch of files and write its results.

    Returns:
        The exit code.

    Raises:
        WrongUsage: A file, the profile or a directory is not as it must be; nothing was started.
        RunFailed: The batch failed; its summary has been written where there is one.
    """
    for file in files:
        check_input(file)
    chosen = read_profile(profile)
    check_output(out)
    with Screen() as screen, target(screen, data_dir, stack, fresh=fresh) as place:
        screen.note(f"Uploading {len(files)} file{'s' if len(files) > 1 else ''}")
        prefix = drive.upload(place.clients, place.stack, files)
        source = {"bucket": place.stack.bucket, "prefix": prefix}
        batch = {"source": source, "profile": chosen}
        fetched, ended = follow(screen, place, batch, out)
        screen.note("Saving" if stack is None else "Done")
    return report(fetched, ended)


def follow(
    screen: Screen, place: Target, batch: Mapping[str, Any], out: Path
) -> tuple[drive.Fetched | None, drive.Ended]:
    """Start a batch, show its progress to its end, and fetch what came out.

    Args:
        screen: shows the progress.
        place: where to run it.
        batch: the execution's input.
        out: the output directory.
    """
    execution = drive.start(place.clients, place.stack, batch)
    try:
        for progress in drive.watch(place.clients, execution, place.interval):
            screen.show(progress)
    except KeyboardInterrupt:
        screen.note("Stopping the batch")
        drive.stop(place.clients, execution)
        raise
    ended = drive.ended(place.clients, execution)
    if ended.prefix is None:
        return None, ended
    screen.note("Fetching the results")
    return drive.fetch(place.clients, place.stack, ended.prefix, out), ended


def report(fetched: drive.Fetched | None, ended: drive.Ended) -> int:
    """Print the summary and where everything is.

    Returns:
        The exit code.

    Raises:
        RunFailed: The batch failed.
    """
    if fetched is not None:
        _print_fetched(fetched)
    if not ended.succeeded:
        raise RunFailed(f"The batch failed: {ended.reason}")
    return DONE


def _print_fetched(fetched: drive.Fetched) -> None:
    if fetched.content:
        print_summary(fetched.content)
    lines = fetched.rejected_lines
    print(f"results   {fetched.results or 'none'}")
    print(f"rejected  {fetched.rejected} ({lines:,} line{'' if lines == 1 else 's'})")
    print(f"summary   {fetched.summary or 'none'}")
    if fetched.revisions:
        print(f"revised   {fetched.revisions}: earlier readings judged anew")
    if fetched.failed:
        batch = fetched.content.get("batch_id", "BATCH")
        print(f"failed    {fetched.failed}; `kalmap retry {batch[:ID_SHOWN]}` runs them again")
    sys.stdout.flush()


@contextmanager
def target(
    screen: Screen | None, data_dir: Path | None, stack: str | None, *, fresh: bool = False
) -> Iterator[Target]:
    """Where to run: a deployed stack, or the local cloud of a data directory.

    Args:
        screen: told what is being done; None for silence.
        data_dir: of the local cloud; unused with a stack.
        stack: name of a deployed stack; None for the local cloud.
        fresh: forget what the data directory holds.
    """
    if stack is not None:
        clients = aws_clients()
        yield Target(clients, drive.find_stack(clients, stack), _AWS_INTERVAL)
        return
    if data_dir is None:
        raise AssertionError("neither a data directory nor a stack was given")
    parameters = local_parameters()
    say = screen.note if screen else _nothing
    with DataDirectory(data_dir, fresh=fresh) as data:
        say("Starting the local cloud")
        with LocalCloud(data) as cloud:
            deploy(cloud.clients, parameters, say=say)
            try:
                yield Target(cloud.clients, drive.find_stack(cloud.clients, STACK), _LOCAL_INTERVAL)
            except BotoCoreError as error:
                if cloud.running:
                    raise
                raise RunFailed(
                    f"The local cloud ended unexpectedly; its log is {cloud.log}. The stored "
                    f"states are those of the last run that ended well."
                ) from error


def _nothing(_: str) -> None:
    """Say nothing."""


def local_parameters() -> dict[str, str]:
    """The template's parameters on the local cloud.

    A shard's worker is a process of its own there: more of them than there are cores would
    only wait for each other. What comes out does not depend on it.
    """
    given = os.environ.get(READINGS_PER_SHARD_VARIABLE, _LOCAL_READINGS_PER_SHARD)
    if not given.isdigit() or int(given) < 1:
        raise WrongUsage(
            f"{READINGS_PER_SHARD_VARIABLE} is {given!r}; it must be a whole number from 1."
        )
    shards = min(max(os.cpu_count() or 2, 2), 4)
    return {"MaxShards": str(shards), "ReadingsPerShard": given}


def aws_clients() -> Clients:
    """Clients of the user's own AWS account, as their environment and profile say."""
    session: Any = boto3.session.Session()
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(service)
        return made[service]

    return client


def check_input(file: Path) -> None:
    """Refuse a file that no batch could read.

    Raises:
        WrongUsage: A sentence naming the file and what to do.
    """
    if file.is_dir():
        raise WrongUsage(
            f"{file} is a directory. Name the files in it, for example {file}/*.jsonl."
        )
    if not file.exists():
        raise WrongUsage(f"There is no file {file}. Check the path.")
    if not file.is_file():
        raise WrongUsage(f"{file} is not a regular file. Write its content to one first.")
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError as error:
        raise WrongUsage(f"The file {file} cannot be read: {error.strerror or error}.") from error
    if not head.strip():
        raise WrongUsage(f"The file {file} is empty. Give a file with at least one measurement.")
    try:
        detect_format(str(file), head)
    except UnknownFormat as error:
        raise WrongUsage(str(error)) from error


def read_profile(given: str | None) -> str | dict[str, Any]:
    """A profile by the name of a built-in one or the path of a file, checked.

    Returns:
        As the execution's input takes it: a name, or the file's content.

    Raises:
        WrongUsage: There is none, or a field of it is wrong; the sentence names it.
    """
    if given is None:
        given = "body-weight"
    path = Path(given)
    try:
        if not path.is_file():
            if path.suffix == ".json" or os.sep in given:
                raise WrongUsage(f"There is no profile file {given}. Check the path.")
            builtin_profile(given)
            return given
        return _as_json(load_profile(path.read_bytes()))
    except InvalidProfile as error:
        where = f"The profile file {given} is wrong. " if path.is_file() else ""
        raise WrongUsage(f"{where}{error}") from error
    except OSError as error:
        raise WrongUsage(
            f"The profile file {given} cannot be read: {error.strerror or error}."
        ) from error


def _as_json(profile: Profile) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(profile)
    return content


def check_output(out: Path) -> None:
    """Make the output directory, and see that files can be written into it.

    Raises:
        WrongUsage: They cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".kalmap-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WrongUsage(
            f"The output directory {out} cannot be written to: {error.strerror or error}. "
            f"Name another one with --out."
        ) from error
