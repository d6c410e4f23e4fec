"""The log of changes of tables since the last save. With it, a killed local cloud loses nothing.

<cloud>/changes/000013.log   one file from each save, or start, to the next

Each line has a checksum and JSON. The first line has the size and checksum of the previous file,
so that a truncated or missing file is detected. An incomplete line at the end of the last file was
never acknowledged, and is ignored.
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
    """The content of a file of the log."""

    records: list[Any]
    size: int
    """Bytes up to the end of the last complete line."""
    checksum: int
    """Of these bytes."""
    previous: tuple[int, int]
    """Size and checksum of the previous file, from the first line."""


class ChangeLog:
    """A new file of the log, open for writing.

    Args:
        cloud: The folder of the local cloud.
        number: The file's number.
        previous: Size and checksum of the previous file.

    Raises:
        OSError: The file cannot be created. It does not exist afterwards.
    """

    def __init__(self, cloud: Path, number: int, previous: tuple[int, int] = (0, 0)) -> None:
        (cloud / FOLDER).mkdir(exist_ok=True)
        self.number = number
        self.size = 0
        self.checksum = 0
        path = log_path(cloud, number)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self.append({"log": number, "before": previous})
            self.sync()
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, record: Any) -> None:
        """Add a record, which then survives any end of this process.

        Raises:
            OSError: The record was not added. The log is unchanged.
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
        """Wait until all added records would also survive a crash of the machine."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def log_path(cloud: Path, number: int) -> Path:
    """The path of a file of the log."""
    return cloud / FOLDER / f"{number:06d}.log"


def log_numbers(cloud: Path) -> list[int]:
    """The numbers of the existing files, ascending."""
    paths = (cloud / FOLDER).iterdir() if (cloud / FOLDER).is_dir() else ()
    return sorted(int(match[1]) for path in paths if (match := _NAME.fullmatch(path.name)))


def read_log(path: Path) -> LogContent:
    """Read a file of the log, without an incomplete last line.

    Raises:
        Damaged: A line before the last one is damaged, or the lines belong to another file.
    """
    content = path.read_bytes()
    records: list[Any] = []
    size = 0
    lines = content.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        record = _parse(line)
        if record is None:
            if any(_parse(later) is not None for later in lines[number:]):
                raise Damaged(f"{path} is damaged: its line {number} is not what was written")
            break
        records.append(record)
        size += len(line)
    if not records:
        return LogContent([], 0, 0, (0, 0))
    first, *rest = records
    # Lines copied from another file are complete, but have another number.
    if not isinstance(first, dict) or path != log_path(path.parent.parent, first["log"]):
        raise Damaged(f"{path} is damaged: its first line is not what was written")
    if any(isinstance(record, dict) for record in rest):
        raise Damaged(f"{path} is damaged: it has two first lines")
    previous = tuple(first["before"])
    return LogContent(rest, size, zlib.crc32(content[:size]), previous)


def read_since(cloud: Path, first: int) -> Iterator[LogContent]:
    """Read the files of the log from number `first` on. Check each by the first line of the next.

    Raises:
        Damaged: A file is missing, truncated or damaged.
    """
    numbers = [number for number in log_numbers(cloud) if number >= first]
    if numbers and not read_log(log_path(cloud, numbers[-1])).size:
        # Its creation was interrupted, so it has no record.
        numbers.pop()
    previous: LogContent | None = None
    for number in range(first, numbers[-1] + 1 if numbers else first):
        path = log_path(cloud, number)
        if number not in numbers:
            raise Damaged(f"{path} is missing")
        content = read_log(path)
        if previous and content.previous != (previous.size, previous.checksum):
            raise Damaged(f"{log_path(cloud, number - 1)} is damaged: it is not what was written")
        yield content
        previous = content


def _line(record: Any) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parse(line: bytes) -> Any:
    """The record of a complete line; None for any other line."""
    checksum, _, text = line.partition(b" ")
    if not text.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return json.loads(text)
