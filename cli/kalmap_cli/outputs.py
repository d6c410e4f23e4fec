"""The files that a command writes for its user: each whole or not at all.

`-` is stdout. A link is followed. A pipe or a device is written straight into. Any other file is
written beside its place first, so that nothing half-written ever has its name.
"""

import contextlib
import errno
import os
import stat
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kalmap_cli.exits import RunFailed, WrongUsage

#: The name that means stdout.
STDOUT = Path("-")
_STDOUT_DESCRIPTOR = 1
#: As many links in a row as Linux follows.
_MOST_LINKS = 40


def check_outputs(outputs: Mapping[str, Path], inputs: Sequence[Path] = ()) -> None:
    """Refuse outputs that cannot be written, or that would destroy an input or each other.

    Args:
        outputs: by the option that names them.
        inputs: files that the command reads.

    Raises:
        WrongUsage: A sentence naming the option and what to do.
    """
    read = {_identity(path): path for path in inputs}
    options: dict[object, str] = {}
    for option, path in outputs.items():
        try:
            _check_writable(path)
            identity = _identity(path)
        except OSError as error:
            raise WrongUsage(_cannot_be_written(path, error)) from error
        if identity is None:
            continue
        if identity in read:
            raise WrongUsage(
                f"{option} {path} would overwrite {read[identity]}, which this command reads. "
                f"Give {option} another name."
            )
        if other := options.get(identity):
            raise WrongUsage(
                f"{other} and {option} name the same file, {path}. Give each a name of its own."
            )
        options[identity] = option


def check_outside(path: Path | None, data_dir: Path | None) -> None:
    """Refuse an output inside the data directory, whose files are the local cloud's.

    Raises:
        WrongUsage: It lies there, by whatever name.
    """
    if path is None or data_dir is None or path == STDOUT:
        return
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(data_dir)):
        raise WrongUsage(
            f"{path} lies in the data directory {data_dir}, whose files are kalmap's own. Name "
            f"another place with --out."
        )


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write a path's content into; it appears under its name at the end, whole.

    Raises:
        WrongUsage: It cannot be opened.
        RunFailed: It could not be written to its end; what was there before still is.
    """
    begun = False
    try:
        with _opened(path) as file:
            begun = True
            yield file
    except BrokenPipeError as error:
        if is_stdout(path):
            raise
        raise RunFailed(f"Whoever read {path} closed it before all was written.") from error
    except OSError as error:
        if not begun:
            raise WrongUsage(_cannot_be_written(path, error)) from error
        name = "stdout" if is_stdout(path) else path
        kept = "" if is_special(path) else " No part of it was kept under this name."
        raise RunFailed(f"{name} could not be written: {_reason(error)}.{kept}") from error


def is_stdout(path: Path) -> bool:
    """Whether this is stdout, by whatever name."""
    return _descriptor(path) == _STDOUT_DESCRIPTOR


def is_special(path: Path) -> bool:
    """Whether this is stdout, a pipe or a device: written straight into, never replaced."""
    return _descriptor(path) is not None or (path.exists() and not path.is_file())


def replace_with(temporary: Path, target: Path) -> None:
    """Give a file that is written to its end the name of another, or a new name."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    number = _descriptor(path)
    if number == _STDOUT_DESCRIPTOR:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if number is None and not is_special(path):
        with _replaced(Path(os.path.realpath(path))) as file:
            yield file
        return
    straight = os.dup(number) if number is not None else os.open(path, os.O_WRONLY | os.O_NOCTTY)
    with os.fdopen(straight, "wb") as file:
        yield file


@contextmanager
def _replaced(target: Path) -> Iterator[BinaryIO]:
    _check_writable(target)
    temporary = target.with_name(f".kalmap-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield file
        replace_with(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _check_writable(path: Path) -> None:
    """Raise an OSError where it cannot be written."""
    if _descriptor(path) is not None:
        return
    target = Path(os.path.realpath(path))
    # A file is replaced by another, which its folder has to allow; its own mode counts too.
    needed = [] if is_special(target) else [target.parent]
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(target.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        needed.append(target)
    target.parent.stat()
    for each in needed:
        if not os.access(each, os.W_OK):
            # Root may write everywhere but on a file system that is read-only.
            number = errno.EACCES if os.geteuid() else errno.EROFS
            raise OSError(number, os.strerror(number))


def _descriptor(path: Path) -> int | None:
    """The number of our own open file that a name such as - or /dev/stdout means, if any."""
    if path == STDOUT:
        return _STDOUT_DESCRIPTOR
    own = {os.path.realpath(folder) for folder in ("/proc/self/fd", "/dev/fd")}
    for _ in range(_MOST_LINKS):
        if os.path.realpath(path.parent) in own and path.name.isdigit():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def _identity(path: Path) -> object:
    """What two names of one file have in common; None where writing destroys nothing."""
    number = _descriptor(path)
    if number is not None:
        found = os.fstat(number)
    else:
        target = Path(os.path.realpath(path))
        if not target.exists():
            folder = target.parent.stat()
            return folder.st_dev, folder.st_ino, target.name
        found = target.stat()
    return None if stat.S_ISCHR(found.st_mode) else (found.st_dev, found.st_ino)


def _cannot_be_written(path: Path, error: OSError) -> str:
    return f"{path} cannot be written: {_reason(error)}. Name another place."


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
