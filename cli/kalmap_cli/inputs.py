"""The inputs that a command names: files, directories, patterns, stdin, or what lies in S3."""

import glob
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from kalmap.batch.identity import MAX_OBJECTS
from kalmap.plural import counted
from kalmap.records.dialects import listed
from kalmap_cli.errors import WrongUsage
from kalmap_cli.output_files import STDOUT, descriptor_of
from kalmap_cli.partitioned import columns_of_folders, join_partitions
from kalmap_cli.result_names import OTHERS, SUMMARY

#: What sentences call stdin.
STDIN = Path("stdin")
#: What stdin is called on the command line.
_DASH = STDOUT
#: Files of a directory with other endings are left out. Each may be followed by .gz.
_ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".xml", ".parquet", ".arrow", ".feather")
_PACKED = ".gz"
_NAMED = 3
_S3 = re.compile(r"s3://([^/]*)/?(.*)", re.DOTALL)
_STDIN_DESCRIPTOR = 0


class Input(NamedTuple):
    """A file to read."""

    name: Path
    """What the user calls it."""
    content: Path
    """Where its content is. For stdin, a copy."""


def typed(file: Path) -> str:
    """What a user types for a file."""
    return str(_DASH) if file is STDIN else shlex.quote(str(file))


def as_input(path: Path) -> Input:
    """A file that the user has named."""
    return Input(path, path)


class Inputs(NamedTuple):
    """What a command reads."""

    files: list[Input]
    told: list[str]
    """What was left out, as sentences."""


def source_in_s3(names: Sequence[str]) -> dict[str, Any] | None:
    """The batch's source if the only input lies in S3; None if none does.

    An address that ends with a slash or a star is a prefix, any other is a key.

    Raises:
        WrongUsage: There are other inputs beside it, or the address is incomplete.
    """
    addresses = [name for name in names if name.startswith("s3://")]
    if not addresses:
        return None
    found = _S3.fullmatch(addresses[0])
    if found is None or not found[1] or not found[2]:
        raise WrongUsage(
            f"{addresses[0]} is no address of an object. Write s3://BUCKET/KEY, or s3://BUCKET/"
            "PREFIX/ with a slash at its end for all objects below a prefix."
        )
    if len(names) > 1:
        raise WrongUsage(
            f"{addresses[0]} must be the only input. A batch reads one object or one prefix in S3, "
            "or files of this machine. Run one batch after the other, older readings first."
        )
    bucket, key = found.groups()
    if key.endswith(("/", "*")):
        return {"bucket": bucket, "prefix": key.removesuffix("*")}
    return {"bucket": bucket, "key": key}


def refuse_s3(names: Sequence[str], command: str) -> None:
    """Refuse an address in S3 for a command that reads only files.

    Raises:
        WrongUsage: There is one.
    """
    if source_in_s3(names):
        raise WrongUsage(
            f"kalmap {command} reads files of this machine, and {names[0]} lies in S3. Copy it "
            f"here first, for example by: aws s3 cp {names[0]} . Only `kalmap run {names[0]} "
            "--stack NAME` reads from S3."
        )


@contextmanager
def open_inputs(names: Sequence[str]) -> Iterator[Inputs]:
    """Find the files that the user's words name. They exist while the block lasts.

    A directory stands for the files in it, a pattern such as 'exports/*.csv' for those that match.
    `-` and names such as /dev/stdin are copied to a temporary file.

    Raises:
        WrongUsage: A word names nothing that can be read. The sentence says what to do.
    """
    with ExitStack() as stack:
        files: list[Input] = []
        told: list[str] = []
        for name in names:
            found, sentences = _find(name, stack)
            files += found
            told += sentences
        once: dict[str, Input] = {}
        for file in files:
            once.setdefault(os.path.realpath(file.content), file)
        if twice := len(files) - len(once):
            told.append(f"{counted(twice, 'file')} named twice: each file is read once.")
            files = list(once.values())
        if len(files) > MAX_OBJECTS:
            raise WrongUsage(
                f"These are {len(files):,} files, and one batch reads at most {MAX_OBJECTS:,}. Run "
                "several batches, older readings first, or join small files to larger ones."
            )
        yield Inputs(files, told)


def _find(name: str, stack: ExitStack) -> tuple[list[Input], list[str]]:
    path = Path(name)
    if path == _DASH or descriptor_of(path) is not None:
        return [_copy_stream(path, stack)], []
    if path.is_dir():
        return _files_in(path, stack)
    if not os.path.lexists(path) and glob.has_magic(name):
        return _matching(name)
    return [as_input(path)], []


def _files_in(folder: Path, stack: ExitStack) -> tuple[list[Input], list[str]]:
    try:
        entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise WrongUsage(f"{folder} cannot be read: {error.strerror or error}.") from error
    has_summary = any(each.name == SUMMARY for each in entries)
    files: list[Path] = []
    results: list[Path] = []
    folders: list[Path] = []
    others: list[Path] = []
    for each in entries:
        if each.is_file() and _is_table(each):
            (results if has_summary and _is_result(each) else files).append(each)
        else:
            (folders if each.is_dir() else others).append(each)
    endings = f"{', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]}, gzipped or not"
    nested = (
        f"Folders in it are not read; name them, or a pattern: '{folder}/**/*.csv'."
        if folders
        else ""
    )
    sentences = []
    if results:
        shown = listed([each.name for each in results])
        sentences.append(f"{folder}: kalmap's own results of a batch are left out: {shown}.")
    if not files and columns_of_folders(folder):
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="kalmap-"))
        joined = Path(temporary, "joined.parquet")
        return [Input(folder, joined)], [join_partitions(folder, joined)]
    if not files:
        but = " but kalmap's own results" if results else ""
        raise WrongUsage(
            f"{folder} is a directory, and no file in it{but} ends in {endings}. {nested}".rstrip()
        )
    if others:
        names = listed([each.name for each in others[:_NAMED]])
        more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
        sentences.append(
            f"{folder}: {counted(len(files), 'file')} of {len(files) + len(others):,} are read. "
            f"Left out: {names}{more}. Those are read that end in {endings}, and are not empty."
        )
    if nested:
        sentences.append(f"{folder}: {nested}")
    return list(map(as_input, files)), sentences


def _is_table(file: Path) -> bool:
    name = file.name.lower().removesuffix(_PACKED)
    return name.endswith(_ENDINGS) and file.stat().st_size > 0


def _is_result(file: Path) -> bool:
    """Whether a file has the name of one that kalmap writes beside a summary."""
    return file.name in OTHERS or file.stem == "results"


def _matching(pattern: str) -> tuple[list[Input], list[str]]:
    found = [Path(each) for each in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207 - the path may be absolute
    files = [each for each in found if not each.is_dir()]
    if not files:
        raise WrongUsage(f"No file matches the pattern {pattern}. Check the path.")
    folders = [str(each) for each in found if each.is_dir()]
    sentences = [f"{pattern} also matches folders, which are not read: {listed(folders[:_NAMED])}."]
    return list(map(as_input, files)), sentences if folders else []


def _copy_stream(path: Path, stack: ExitStack) -> Input:
    """Copy what is piped in: a file is read more than once."""
    number = descriptor_of(path)
    is_stdin = path == _DASH or number == _STDIN_DESCRIPTOR
    name = STDIN if is_stdin else path
    try:
        if os.isatty(_STDIN_DESCRIPTOR if is_stdin or number is None else number):
            print("Reading from the terminal until Ctrl-D.", file=sys.stderr)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kalmap-")))
        copy = folder / STDIN.name
        descriptor = os.dup(_STDIN_DESCRIPTOR if is_stdin or number is None else number)
        with os.fdopen(descriptor, "rb") as stream, copy.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
    except OSError as error:
        raise WrongUsage(f"{name} could not be read: {error.strerror or error}.") from error
    return Input(name, copy)
