"""Line blocks: whole lines of a content, each of which is one record or none."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kalmap.records.measurement import Measurement


class Decoded(NamedTuple):
    """All records of a block."""

    measurements: list[Measurement]
    lines: Sequence[int]
    """The line of each, from 1."""


class LineBlock:
    """Whole lines that are decoded at once. Each format has a class of its own.

    Args:
        data: The lines.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def lines(self) -> int:
        """The number of lines, blank ones included."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))

    def columns(self) -> None:
        """Return None: lines have no columns of values with types."""

    def decoded(self) -> Decoded | None:
        """Decode all records at once; None if they must be decoded one by one.

        Raises:
            RecordError: A record cannot be read.
        """
        return None

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Iterate over the lines with a record: their numbers, from 1, and their bytes."""
        if self.data.isspace():  # millions of blank lines cost next to nothing
            return
        for number, line in enumerate(self.data.split(b"\n"), start=1):
            if line and not line.isspace() and self.is_record(line):
                yield number, line

    def is_record(self, line: bytes) -> bool:  # noqa: ARG002 - for all formats
        """Whether a line that is not blank is a record."""
        return True

    def measurement(self, record: bytes) -> Measurement:
        """Decode and check one record.

        Raises:
            RecordError: It cannot be read.
        """
        # Each format overrides this method.
        raise NotImplementedError
