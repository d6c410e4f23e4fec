"""Check the input files and read the profile that the user names, before anything starts."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from kalmap.batch.inflate import check_gzip_size, inflate
from kalmap.errors import InvalidInput, InvalidProfile, UnknownFormat
from kalmap.profile import DEFAULT_PROFILE, Profile, builtin_profile, load_profile
from kalmap.records.formats import HEAD_BYTES
from kalmap.records.gzipped import inflate_head, is_gzipped
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import take_sample
from kalmap_cli.own_files.understand import Understood, understand

_PART_BYTES = 1 << 20


def check_input(file: Path) -> None:
    """Refuse a file that is no file with content, or is corrupt.

    Raises:
        WrongUsage: The sentence names the file and says what to do.
    """
    if file.is_dir():
        raise WrongUsage(
            f"{file} is a directory. Name the files in it, for example {file}/*.jsonl."
        )
    if not file.exists():
        raise WrongUsage(f"There is no file {file}. Check the path.")
    if not file.is_file():
        raise WrongUsage(f"{file} is not a regular file. Write its content to one first.")
    with _refusing(file), file.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
        if not head.strip():
            raise WrongUsage(
                f"The file {file} is empty. Give a file with at least one measurement."
            )
        inflate_head(str(file), head)
        if is_gzipped(head):
            check_gzip_size(str(file), file.stat().st_size)


def understand_file(
    file: Path, said: Said, profile: str | Mapping[str, Any], *, whole: bool = True
) -> Understood:
    """Check a file and understand it.

    Args:
        file: The file.
        said: What the user says about it.
        profile: A profile's name or content.
        whole: Also check all of a gzipped file.

    Raises:
        WrongUsage: No batch can read it, or something about it is not certain.
    """
    check_input(file)
    with _refusing(file):
        sample = take_sample(file)
        understood = understand(sample, said, as_profile(profile))
        if whole and sample.gzipped:
            for _ in inflate_file(file):
                pass
        return understood


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    try:
        yield
    except (UnknownFormat, InvalidInput) as error:
        raise WrongUsage(str(error)) from error
    except OSError as error:
        raise WrongUsage(f"The file {file} cannot be read: {error.strerror or error}.") from error


def inflate_file(file: Path) -> Iterator[bytes]:
    """Inflate a gzipped file, in parts.

    Raises:
        InvalidInput: The file is truncated or corrupt, or its content is too large.
    """
    with file.open("rb") as opened:
        yield from inflate(iter(lambda: opened.read(_PART_BYTES), b""), str(file))


def read_profile(name_or_path: str | None) -> str | dict[str, Any]:
    """Read and check a profile.

    Args:
        name_or_path: Name of a built-in profile or path of a file; None for the default profile.

    Returns:
        The profile as in an execution's input: a name, or the content of the file.

    Raises:
        WrongUsage: There is no such profile, or the sentence names a field that is wrong.
    """
    profile = name_or_path or DEFAULT_PROFILE
    path = Path(profile)
    try:
        if not path.is_file():
            if path.suffix == ".json" or os.sep in profile:
                raise WrongUsage(f"There is no profile file {profile}. Check the path.")
            builtin_profile(profile)
            return profile
        return _as_json(load_profile(path.read_bytes()))
    except InvalidProfile as error:
        where = f"The profile file {profile} is wrong. " if path.is_file() else ""
        raise WrongUsage(f"{where}{error}") from error
    except OSError as error:
        raise WrongUsage(
            f"The profile file {profile} cannot be read: {error.strerror or error}."
        ) from error


def as_profile(profile: str | Mapping[str, Any]) -> Profile:
    """The profile that `read_profile` has read."""
    return builtin_profile(profile) if isinstance(profile, str) else load_profile(profile)


def _as_json(profile: Profile) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.to_builtins(profile)
    return content
