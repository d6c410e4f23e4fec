"""The log of what changed in tables since the last save: a killed local cloud loses nothing.

<cloud>/changes/000013.log   one file from a save, or a start, to the next one

Each line is a checksum and JSON. The first one says how the file before ended, so that a file that
was cut off, or is missing, is noticed. A line that a kill or a full disk tore at the end of the
last file was never answered, and does not count.
"""

import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kalmap_cli.errors import Damaged

FOLDER = "changes"
_NAME = re.compile(r"(\d{6,})\.log")


class LogContent(NamedTuple):
    """What a file of the log holds."""

    records: list[Any]
    size: int
    """Bytes up to the end of its last whole line."""
    checksum: int
    """Of these bytes."""
    before: tuple[int, int]
    """Size and checksum of the file before, as its first line says."""


class ChangeLog:
    """A new file of the log, to be written to.

    Args:
        cloud: the folder of the local cloud.
        number: the file's number.
        before: size and checksum of the file before.

    Raises:
        OSError: It cannot be made; nothing is left of it.
    """

    def __init__(self, cloud: Path, number: int, before: tuple[int, int] = (0, 0)) -> None:
        (cloud / FOLDER).mkdir(exist_ok=True)
        self.number = number
        self.size = 0
        self.checksum = 0
        path = log_path(cloud, number)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self.append({"log": number, "before": before})
            self.sync()
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, record: Any) -> None:
        """Add a record; it survives the end of this process, however that comes.

        Raises:
            OSError: It was not added; the log is as it was before.
        """
        line = _line(record)
        try:
            if os.fstat(self._file).st_nlink == 0:
                raise FileNotFoundError("The log of changes was removed.")
            written = 0
            while written < len(line):
                written += os.pwrite(self._file, line[written:], self.size + written)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(line)
        self.checksum = zlib.crc32(line, self.checksum)

    def sync(self) -> None:
        """Wait until all that was added would survive the machine's end, too."""
        os.fsync(self._file)

    def close(self) -> None:
        """Add no more."""
        os.close(self._file)


def log_path(cloud: Path, number: int) -> Path:
    """Where a file of the log lies."""
    return cloud / FOLDER / f"{number:06d}.log"


def log_numbers(cloud: Path) -> list[int]:
    """The numbers of the files there are, ascending."""
    found = (cloud / FOLDER).iterdir() if (cloud / FOLDER).is_dir() else ()
    return sorted(int(match[1]) for path in found if (match := _NAME.fullmatch(path.name)))


def read_log(path: Path) -> LogContent:
    """What a file of the log holds; a torn last line does not count.

    Raises:
        Damaged: A line is damaged and others follow, or it is of another file.
    """
    content = path.read_bytes()
    records: list[Any] = []
    size = 0
    lines = content.splitlines(keepends=True)
    for place, line in enumerate(lines):
        record = _parsed(line)
        if record is None:
            if any(_parsed(later) is not None for later in lines[place + 1 :]):
                raise Damaged(f"{path} is damaged: its line {place + 1} is not what was written")
            break
        records.append(record)
        size += len(line)
    if not records:
        return LogContent([], 0, 0, (0, 0))
    first, *rest = records
    # Lines of another file are whole, too.
    if not isinstance(first, dict) or path != log_path(path.parent.parent, first["log"]):
        raise Damaged(f"{path} is damaged: its first line is not what was written")
    if any(isinstance(record, dict) for record in rest):
        raise Damaged(f"{path} is damaged: it has two first lines")
    before = tuple(first["before"])
    return LogContent(rest, size, zlib.crc32(content[:size]), before)


def read_since(cloud: Path, first: int) -> Iterator[LogContent]:
    """The files of the log from number `first` on, each held to what the next one says of it.

    Raises:
        Damaged: One is missing, was cut off, or is damaged.
    """
    there = [number for number in log_numbers(cloud) if number >= first]
    if there and not read_log(log_path(cloud, there[-1])).size:
        # Torn while it was made: nothing was ever written to it.
        there.pop()
    before: LogContent | None = None
    for number in range(first, there[-1] + 1 if there else first):
        path = log_path(cloud, number)
        if number not in there:
            raise Damaged(f"{path} is missing")
        content = read_log(path)
        if before and content.before != (before.size, before.checksum):
            raise Damaged(f"{log_path(cloud, number - 1)} is damaged: it is not what was written")
        yield content
        before = content


def _line(record: Any) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> Any:
    """The record of a whole line; None of any other."""
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return json.loads(text)
