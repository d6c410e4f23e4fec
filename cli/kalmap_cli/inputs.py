"""What the user names on the command line, checked before anything is started."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from kalmap.batch.inflate import check_gzip_size, inflated
from kalmap.errors import InvalidInput, InvalidProfile, UnknownFormat
from kalmap.profile import DEFAULT_PROFILE, Profile, builtin_profile, load_profile
from kalmap.records.formats import detect_format
from kalmap.records.gzipped import inflate_head, is_gzipped
from kalmap_cli.exits import WrongUsage

_HEAD_BYTES = 65_536
_PART_BYTES = 1 << 20


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
        if not head.strip():
            raise WrongUsage(
                f"The file {file} is empty. Give a file with at least one measurement."
            )
        detect_format(str(file), inflate_head(str(file), head))
        if is_gzipped(head):
            check_gzip_size(str(file), file.stat().st_size)
            for _ in inflated_file(file):
                pass
    except (UnknownFormat, InvalidInput) as error:
        raise WrongUsage(str(error)) from error
    except OSError as error:
        raise WrongUsage(f"The file {file} cannot be read: {error.strerror or error}.") from error


def inflated_file(file: Path) -> Iterator[bytes]:
    """A gzipped file's content, in parts.

    Raises:
        InvalidInput: It is truncated, corrupt, or swells beyond what is read.
    """
    with file.open("rb") as opened:
        yield from inflated(iter(lambda: opened.read(_PART_BYTES), b""), str(file))


def read_profile(given: str | None) -> str | dict[str, Any]:
    """A profile by the name of a built-in one or the path of a file, checked.

    Returns:
        As the execution's input takes it: a name, or the file's content.

    Raises:
        WrongUsage: There is none, or a field of it is wrong; the sentence names it.
    """
    if given is None:
        given = DEFAULT_PROFILE
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
