"""Samples of a file: enough of it to understand it, however large it is."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kalmap.batch.inflate import inflate
from kalmap.records.formats import HEAD_BYTES, Format
from kalmap.records.gzipped import is_gzipped
from kalmap.records.parse import File
from kalmap.records.table_content import TableContent, naming
from kalmap.records.table_format import TableFormat
from kalmap_cli.inputs import Input

#: A file of at most so many bytes is read as a whole.
_WHOLE = 1 << 19
#: Of a larger file, so many pieces of so many bytes are read.
_PIECES = 8
_PIECE_BYTES = 48 * 1024
_GOLDEN = 0.6180339887498949
_PART_BYTES = 1 << 16
#: Of a table, so many rows are read.
_ROWS = 16_384


class Sample(NamedTuple):
    """What was read of a file."""

    file: Path
    """What the user calls it."""
    content: Path
    """Where its content is."""
    size: int
    """Bytes of the content, inflated; of a large gzipped file, about."""
    gzipped: bool
    whole: bool
    """Whether `start` is the whole content."""
    start: bytes
    """The beginning of the content, inflated; the whole of it if it is small."""

    @property
    def head(self) -> bytes:
        """What a format is recognised from."""
        return self.start[:HEAD_BYTES]

    def as_table(self) -> TableContent | None:
        """All of the content, as tables of Arrow and Parquet are read; None if it is gzipped."""
        if self.gzipped:
            return None
        return TableContent(lambda start, end: _read(self.content, start, end), self.size)

    def is_whole(self, format_: Format) -> bool:
        """Whether `files` gives all records."""
        if isinstance(format_, TableFormat):
            return format_.rows <= _ROWS
        return self.whole

    def pieces(self) -> list[bytes]:
        """The beginning, and pieces from further on, which begin at even bytes."""
        if self.whole or self.gzipped:
            return [self.start]
        # At irregular distances, so that what repeats in the file is met at different points.
        places = sorted(int(self.size * (n * _GOLDEN % 1.0)) & ~1 for n in range(1, _PIECES))
        return [
            self.start[:_PIECE_BYTES],
            *(_read(self.content, at, at + _PIECE_BYTES) for at in places),
        ]

    def files(self, format_: Format) -> Iterator[File]:
        """Records of the file, for the parser: all of them if it is small."""
        if isinstance(format_, TableFormat):
            yield from self._rows(format_)
            return
        if self.whole or self.gzipped:
            content = self.start
            if not self.whole:
                content = content[: content.rfind(b"\n") + 1]
            yield File([content[format_.records_start :]], format_, format_.header_lines)
            return
        step = max(_PIECE_BYTES, -(-self.size // _PIECES) & ~1)

        def read(start: int, end: int) -> bytes:
            return _read(self.content, start, end)

        for start, end in format_.split(self.size, step):
            piece_end = min(end, start + _PIECE_BYTES)
            yield File(
                list(format_.read_range(start, piece_end, self.size, read)),
                format_,
                format_.header_lines if start == format_.records_start else 0,
            )

    def _rows(self, format_: TableFormat) -> Iterator[File]:
        """Rows of a table: all of them, or some at irregular distances."""
        rows = format_.rows
        starts = [0]
        if rows > _ROWS and len(format_.groups) > 1:
            starts += sorted(int(rows * (n * _GOLDEN % 1.0)) for n in range(1, _PIECES))
        size = _ROWS if len(starts) == 1 else _ROWS // _PIECES

        def read(start: int, end: int) -> bytes:
            return _read(self.content, start, end)

        for start in starts:
            with naming(str(self.file)):
                batches = list(format_.read_range(start, start + size, self.size, read))
            yield File(batches, format_, start)


def take_sample(input_: Input) -> Sample:
    """Read the beginning of a file.

    Raises:
        InvalidInput: It is gzipped, and corrupt or truncated as far as it is read.
        OSError: It cannot be read.
    """
    name, file = input_
    size = file.stat().st_size
    start = _read(file, 0, _WHOLE + 1)
    if not is_gzipped(start):
        return Sample(name, file, size, gzipped=False, whole=size <= _WHOLE, start=start)
    content = b""
    with file.open("rb") as opened:
        parts = iter(lambda: opened.read(_PART_BYTES), b"")
        for part in inflate(parts, str(name)):
            content += part
            if len(content) > _WHOLE:
                inflated = len(content) * size // max(1, opened.tell())
                return Sample(name, file, inflated, gzipped=True, whole=False, start=content)
    return Sample(name, file, len(content), gzipped=True, whole=True, start=content)


def _read(file: Path, start: int, end: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(end - start)
