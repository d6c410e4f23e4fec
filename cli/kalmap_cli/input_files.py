"""Check the input files and read the profile that the user names, before anything starts."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from kalmap.batch.chunks import (
    MAX_CHUNK_BYTES,
    MAX_GZIP_BYTES,
    MAX_GZIP_LINES,
    MAX_INFLATED_BYTES,
)
from kalmap.batch.inflate import inflate
from kalmap.errors import InvalidInput, InvalidProfile, UnknownFormat
from kalmap.profile import DEFAULT_PROFILE, Profile, builtin_profile, load_profile
from kalmap.records.formats import HEAD_BYTES, AnyFormat, Block
from kalmap.records.gzipped import MAGIC, inflate_head, is_gzipped
from kalmap.records.measurement import Measurement, RecordError
from kalmap.records.table_content import naming
from kalmap_cli.errors import WrongUsage
from kalmap_cli.inputs import STDIN, Input, typed
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import take_sample
from kalmap_cli.own_files.understand import Understood, own_format, understand

_PART_BYTES = 1 << 20


def check_input(input_: Input) -> None:
    """Refuse a file that is no file with content, or is corrupt.

    Raises:
        WrongUsage: The sentence names the file and says what to do.
    """
    name, file = input_
    if not file.exists():
        raise WrongUsage(f"There is no file {name}. Check the path.")
    if not file.is_file():
        if file.is_dir():
            raise WrongUsage(f"{name} is a directory. Name a file in it.")
        what = "is not a regular file"
        raise WrongUsage(f"{name} {what}. Pipe its content in: cat {typed(name)} | kalmap run -")
    with _refusing(name), file.open("rb") as opened:
        head = opened.read(HEAD_BYTES)
        if not head.strip():
            what = str(name) if name is STDIN else f"The file {name}"
            raise WrongUsage(f"{what} is empty. Give a file with at least one measurement.")
        inflate_head(str(name), head)


def understand_file(input_: Input, said: Said, profile: str | Mapping[str, Any]) -> Understood:
    """Check a file and understand it.

    Args:
        input_: The file.
        said: What the user says about it.
        profile: A profile's name or content.

    Raises:
        WrongUsage: No batch can read it, or something about it is not certain.
    """
    check_input(input_)
    with _refusing(input_.name):
        return understand(take_sample(input_), said, as_profile(profile))


def understand_files(
    inputs: Sequence[Input], said: Said, profile: str | Mapping[str, Any]
) -> list[Understood]:
    """Check files of one command and understand them.

    Files in kalmap's own formats name their users and their times. Beside files that do not, they
    are read as they are, and what the user says is about the others.

    Raises:
        WrongUsage: No batch can read one of them, or something about it is not certain.
    """
    own = dict(_own_files(inputs, profile)) if said.about_tables and len(inputs) > 1 else {}
    if len(own) == len(inputs):
        own = {}
    return [own.get(each) or understand_file(each, said, profile) for each in inputs]


def _own_files(
    inputs: Sequence[Input], profile: str | Mapping[str, Any]
) -> Iterator[tuple[Input, Understood]]:
    for each in inputs:
        check_input(each)
        with _refusing(each.name):
            found = own_format(take_sample(each), as_profile(profile))
        if found:
            yield each, found


@contextmanager
def _refusing(name: Path) -> Iterator[None]:
    try:
        yield
    except (UnknownFormat, InvalidInput) as error:
        raise WrongUsage(str(error)) from error
    except OSError as error:
        raise WrongUsage(f"The file {name} cannot be read: {error.strerror or error}.") from error


def records_of(input_: Input, format_: AnyFormat) -> Iterator[Any]:
    """Read all records of a file, as its format's `blocks` expects them.

    Raises:
        InvalidInput: The file is truncated or corrupt.
        WrongUsage: It is gzipped, and truncated or corrupt.
        OSError: It cannot be read.
    """
    with input_.content.open("rb") as opened:
        if is_gzipped(opened.read(len(MAGIC))):
            yield b"".join(inflate_file(input_))[format_.records_start :]
            return

        def read(start: int, end: int) -> bytes:
            opened.seek(start)
            return opened.read(end - start)

        size = input_.content.stat().st_size
        with naming(str(input_.name)):
            for start, end in format_.split(size, max(size, MAX_CHUNK_BYTES)):
                yield from format_.read_range(start, end, size, read)


def inflate_file(input_: Input) -> Iterator[bytes]:
    """Inflate a gzipped file of any size, in parts.

    Raises:
        WrongUsage: The file is truncated or corrupt, or what it inflates to are no readings.
    """
    with _refusing(input_.name), input_.content.open("rb") as opened:
        parts = iter(lambda: opened.read(_PART_BYTES), b"")
        yield from inflate(parts, str(input_.name), any_size=True)


def is_too_large(input_: Input) -> bool:
    """Whether a gzipped file is more than one worker reads, so that it is uploaded inflated.

    Raises:
        WrongUsage: The file is truncated or corrupt, as far as it was read.
    """
    if input_.content.stat().st_size > MAX_GZIP_BYTES:
        return True
    size = lines = 0
    for part in inflate_file(input_):
        size += len(part)
        lines += part.count(b"\n")
        if size > MAX_INFLATED_BYTES or lines > MAX_GZIP_LINES:
            return True
    return False


def read_profile(name_or_path: str | None) -> str | dict[str, Any]:
    """Read and check a profile.

    Args:
        name_or_path: Name of a built-in profile or path of a file; None for the default profile.

    Returns:
        The profile as in an execution's input: a name, or the content of the file.

    Raises:
        WrongUsage: There is no such profile, or the sentence names a field that is wrong.
    """
    profile = DEFAULT_PROFILE if name_or_path is None else name_or_path
    path = Path(profile)
    if not profile.strip() or path.is_dir():
        raise WrongUsage(
            f"{profile!r} is {'a directory' if profile.strip() else 'no name'}. Name a built-in "
            "profile, or a file; `kalmap profiles` lists the built-in ones."
        )
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


def measurements_of(block: Block) -> Iterable[Measurement | tuple[int, str]]:
    """A block's measurements; for one that cannot be read, its line and what is wrong."""
    try:
        known = block.decoded()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  reading one by one finds the record that raises it
        known = None
    return _one_by_one(block) if known is None else known.measurements


def _one_by_one(block: Block) -> Iterator[Measurement | tuple[int, str]]:
    for line, raw in block.records():
        try:
            yield block.measurement(raw)
        except RecordError as error:
            yield line, error.detail
