"""Line formats: what formats with one record a line have in common.

Such a content may be cut at every line end. It is parsed in blocks of whole lines.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from kalmap.outcome import Reason
from kalmap.records.line_block import Decoded, LineBlock
from kalmap.records.measurement import (
    MAX_LINE_BYTES,
    Measurement,
    RecordError,
    measurement_of,
)

#: The byte order mark that some programs put in front of UTF-8.
BOM = b"\xef\xbb\xbf"
_BLOCK_BYTES = 512 * 1024


class LineFormat(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="name"):
    """A format with one record a line, and where its records are in one content."""

    records_start: int = 0
    """Where the records begin, in inflated bytes: after a header."""
    header_lines: int = 0
    """Lines before the records."""

    def planned(self) -> "LineFormat":
        """The format as each chunk holds it."""
        return self

    def split(self, size: int, step: int) -> list[tuple[int, int]]:
        """Split a content of `size` bytes into ranges of about `step` bytes."""
        ranges = []
        start = self.records_start
        while start < size:
            end = min(start + step, size)
            if size - end < step // 4:  # no tiny last range
                end = size
            ranges.append((start, end))
            start = end
        return ranges

    def read_range(
        self, start: int, end: int, size: int, read: Callable[[int, int], bytes]
    ) -> Iterator[bytes]:
        """Read the whole lines that begin in [start, end).

        Args:
            start: The first byte of a range that `split` returned.
            end: The byte after its last one.
            size: Bytes of the whole content.
            read: Returns the content's bytes [start, end); fewer at its end.
        """
        # The byte before the range shows whether a line begins exactly at its start.
        first = start - (start > self.records_start)
        data = read(first, min(end + MAX_LINE_BYTES, size))
        begin = 0
        if start > self.records_start:
            newline = data.find(b"\n", 0, end - first)
            if newline < 0 or first + newline + 1 >= end:
                return  # the whole range lies inside a line that began before it
            begin = newline + 1
        # The last line that begins here ends at the first newline from the last byte on. If there
        # is none, the line is too long, and the bytes that were read suffice to see that.
        last = data.find(b"\n", end - first - 1)
        yield data[begin:] if last < 0 else data[begin : last + 1]

    def blocks(self, parts: Iterable[bytes]) -> Iterator[LineBlock]:
        """Cut the bytes of whole lines into blocks of whole lines, so that memory stays small.

        Args:
            parts: The bytes, cut anywhere.
        """
        for data in split_lines(parts):
            yield FormattedBlock(self, data)

    def decode_block(self, data: bytes) -> list[Measurement] | None:
        """Decode all lines at once, one record each; None if they must be decoded one by one."""
        # Each format overrides this method.
        raise NotImplementedError

    def decode_line(self, line: bytes) -> dict[str, object]:
        """Decode one line to its fields by name.

        Raises:
            RecordError: It does not have the format.
        """
        # Each format overrides this method.
        raise NotImplementedError


class FormattedBlock(LineBlock):
    """Whole lines of one of kalmap's own formats.

    Args:
        format_: The format.
        data: The lines.
    """

    def __init__(self, format_: LineFormat, data: bytes) -> None:
        super().__init__(data)
        self._format = format_

    def decoded(self) -> Decoded | None:
        """Decode all records at once; None if they must be decoded one by one."""
        measurements = self._format.decode_block(self.data)
        if measurements is None:
            return None
        return Decoded(measurements, range(1, len(measurements) + 1))

    def measurement(self, record: bytes) -> Measurement:
        """Decode and check one record.

        Raises:
            RecordError: It cannot be read.
        """
        refuse_long_line(record)
        return measurement_of(self._format.decode_line(record))


def split_lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Cut the bytes of whole lines into blocks of whole lines, so that memory stays small.

    Args:
        parts: The bytes, cut anywhere.
    """
    rest = b""
    for part in parts:
        data = rest + part
        start = 0
        while (end := data.rfind(b"\n", start, start + _BLOCK_BYTES) + 1) or (
            end := data.find(b"\n", start) + 1
        ):
            yield _without_marks(data[start:end])
            start = end
        # An over-long line is refused anyway: keep one byte past the limit and drop the rest.
        rest = data[start:][: MAX_LINE_BYTES + 1]
    if rest:
        yield _without_marks(rest)


def refuse_long_line(line: bytes) -> None:
    """Refuse a line that is too long.

    Raises:
        RecordError: It is.
    """
    if len(line) > MAX_LINE_BYTES:
        raise RecordError(
            Reason.MALFORMED,
            f"The line has {len(line):,} bytes; at most {MAX_LINE_BYTES:,} are read.",
        )


def decode_text(line: bytes) -> str:
    """Decode a line from UTF-8.

    Raises:
        RecordError: It is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise RecordError(
            Reason.MALFORMED, f"The line is not valid UTF-8 (byte {error.start + 1})."
        ) from error


def may_hold_a_long_line(data: bytes) -> bool:
    """Whether a line may be longer than any that is read."""
    # Searching for a line end every MAX_LINE_BYTES / 2 is cheaper than splitting.
    half = MAX_LINE_BYTES // 2
    return any(
        data.find(b"\n", start, start + half) < 0 for start in range(0, len(data) - half, half)
    )


def _without_marks(data: bytes) -> bytes:
    """Remove byte order marks at the beginnings of lines.

    Only a file's first line should have one. But some programs concatenate files with their marks,
    and the meaning of a line must not depend on whether it is the first of a chunk.
    """
    if BOM not in data:
        return data
    return data.removeprefix(BOM).replace(b"\n" + BOM, b"\n")
