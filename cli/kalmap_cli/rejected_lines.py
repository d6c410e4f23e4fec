"""The rejected readings of a batch, each with the file and line it came from."""

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import msgspec

from kalmap.batch.folder import Folder
from kalmap.batch.positions import Positions
from kalmap.outcome import Status

_REJECTED = f'"status":"{Status.REJECTED.label}"'.encode()


class Rejected(msgspec.Struct):
    """A reading that was not believed."""

    index: int
    file: str | None
    line: int | None
    """Null for a batch of an earlier version, or of a form whose lines are not counted."""
    user_id: str | None
    measurement_id: str | None
    timestamp: str | None
    value: float | None
    reason: str | None
    predicted: float | None
    """What was expected; null if the filter has not looked at the reading."""


class _Result(msgspec.Struct):
    index: int
    user_id: str | None
    measurement_id: str | None
    timestamp: str | None
    value: float | None
    reason: str | None
    predicted: float | None


class RejectedReadings:
    """Collects the rejected readings of result lines that pass.

    Args:
        folder: The batch's folder.
        name_of: Gives the user's name for an object's key.
        file: Gets a line of JSON for each.
    """

    def __init__(self, folder: Folder, name_of: Callable[[str], str], file: BinaryIO) -> None:
        self._positions = Positions(folder)
        self._name_of = name_of
        self._file = file
        self._decode = msgspec.json.Decoder(_Result).decode
        self.count = 0
        """How many there are."""

    def watch(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Pass result lines on, and write those that are rejected."""
        for line in lines:
            # In a text of JSON, these quotation marks would be escaped.
            if _REJECTED in line:
                self._write(self._decode(line))
            yield line

    def _write(self, result: _Result) -> None:
        key, line = self._positions.find(result.index)
        fields = msgspec.structs.asdict(result)
        rejected = Rejected(**fields, file=key and self._name_of(key), line=line)
        self._file.write(msgspec.json.encode(rejected) + b"\n")
        self.count += 1
