"""Write files for the user, each completely or not at all.

`-` is stdout. Links are followed. A command writes directly into a pipe or a device. Any other
file gets a temporary name in its directory first, so that its own name never has half a file.
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

from kalmap_cli.errors import RunFailed, WrongUsage

#: The name that means stdout.
STDOUT = Path("-")
_STDOUT_DESCRIPTOR = 1
#: Linux follows this many links in a row.
_MAX_LINKS = 40


def check_outputs(
    outputs: Mapping[str, Path], inputs: Sequence[Path] = (), *, replace: bool = False
) -> None:
    """Refuse outputs that cannot be written, or that would overwrite something.

    Args:
        outputs: By the option that names them.
        inputs: Files that the command reads. None is ever overwritten.
        replace: Whether files that exist may be replaced.

    Raises:
        WrongUsage: The sentence names the option and says what to do.
    """
    inputs_by_identity = {_identity(path): path for path in inputs}
    options: dict[object, str] = {}
    for option, path in outputs.items():
        try:
            _check_writable(path)
            identity = _identity(path)
        except OSError as error:
            raise WrongUsage(_cannot_be_written(path, error)) from error
        if identity is None:
            continue
        if identity in inputs_by_identity:
            raise WrongUsage(
                f"{option} {path} would overwrite {inputs_by_identity[identity]}, which this "
                f"command reads. Give {option} another name."
            )
        if other := options.get(identity):
            raise WrongUsage(
                f"{other} and {option} name the same file, {path}. Give each a name of its own."
            )
        if not replace and _has_content(path):
            raise WrongUsage(
                f"{option} {path} exists, and is not overwritten. Name another file, or type "
                "--replace to replace it."
            )
        options[identity] = option


def check_outside_data_directory(path: Path | None, data_dir: Path | None) -> None:
    """Refuse an output inside the data directory, whose files belong to the local cloud.

    Raises:
        WrongUsage: The output is inside, directly or through links.
    """
    if path is None or data_dir is None or path == STDOUT:
        return
    if Path(os.path.realpath(path)).is_relative_to(os.path.realpath(data_dir)):
        raise WrongUsage(
            f"{path} lies in the data directory {data_dir}, whose files are kalmap's own. Name "
            f"another path with --out."
        )


@contextmanager
def open_output(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing. It gets its name at the end of the block, when it is complete.

    Raises:
        WrongUsage: The file cannot be opened.
        RunFailed: The file could not be completed. An earlier file of its name is unchanged.
    """
    is_open = False
    try:
        with _open(path) as file:
            is_open = True
            yield file
    except BrokenPipeError as error:
        if is_stdout(path):
            raise
        raise RunFailed(f"The reader of {path} closed it before all was written.") from error
    except OSError as error:
        if not is_open:
            raise WrongUsage(_cannot_be_written(path, error)) from error
        name = "stdout" if is_stdout(path) else path
        effect = "" if is_stream(path) else " No file was created or replaced."
        raise RunFailed(f"{name} could not be written: {_reason(error)}.{effect}") from error


def descriptor_of(path: Path) -> int | None:
    """The descriptor of this process that a name such as - or /dev/stdout means, if any."""
    if path == STDOUT:
        return _STDOUT_DESCRIPTOR
    own_descriptors = {os.path.realpath(folder) for folder in ("/proc/self/fd", "/dev/fd")}
    for _ in range(_MAX_LINKS):
        if os.path.realpath(path.parent) in own_descriptors and path.name.isdigit():
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def is_stdout(path: Path) -> bool:
    """Whether this is stdout, under any name."""
    return descriptor_of(path) == _STDOUT_DESCRIPTOR


def is_stream(path: Path) -> bool:
    """Whether this is stdout, a pipe or a device, which are never replaced by a file."""
    return descriptor_of(path) is not None or (path.exists() and not path.is_file())


def move_into_place(temporary: Path, target: Path) -> None:
    """Give a complete file its final name, and replace an earlier file of that name."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    number = descriptor_of(path)
    if number == _STDOUT_DESCRIPTOR:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if number is None and not is_stream(path):
        with _open_replacement(Path(os.path.realpath(path))) as file:
            yield file
        return
    descriptor = os.dup(number) if number is not None else os.open(path, os.O_WRONLY | os.O_NOCTTY)
    with os.fdopen(descriptor, "wb") as file:
        yield file


@contextmanager
def _open_replacement(target: Path) -> Iterator[BinaryIO]:
    _check_writable(target)
    temporary = target.with_name(f".kalmap-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            if target.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
            yield file
        move_into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _has_content(path: Path) -> bool:
    target = Path(os.path.realpath(path))
    return descriptor_of(path) is None and target.is_file() and target.stat().st_size > 0


def _check_writable(path: Path) -> None:
    """Raise an OSError if the path cannot be written."""
    if descriptor_of(path) is not None:
        return
    target = Path(os.path.realpath(path))
    # Replacing a file needs write permission for its directory. The file's own mode counts too.
    must_be_writable = [] if is_stream(target) else [target.parent]
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(target.stat().st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        must_be_writable.append(target)
    target.parent.stat()
    for each in must_be_writable:
        if not os.access(each, os.W_OK):
            # Only a read-only file system refuses root.
            number = errno.EACCES if os.geteuid() else errno.EROFS
            raise OSError(number, os.strerror(number))


def _identity(path: Path) -> object:
    """A value that all names of one file share; None if writing to it overwrites nothing."""
    number = descriptor_of(path)
    if number is not None:
        status = os.fstat(number)
    else:
        target = Path(os.path.realpath(path))
        if not target.exists():
            folder = target.parent.stat()
            return folder.st_dev, folder.st_ino, target.name
        status = target.stat()
    return None if stat.S_ISCHR(status.st_mode) else (status.st_dev, status.st_ino)


def _cannot_be_written(path: Path, error: OSError) -> str:
    return f"{path} cannot be written: {_reason(error)}. Name another file."


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
