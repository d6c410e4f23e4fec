"""Samples of a file: enough of it to understand it, however large it is."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from kalmap.batch.inflate import inflate
from kalmap.errors import InvalidInput
from kalmap.records.formats import HEAD_BYTES, Format
from kalmap.records.gzipped import is_gzipped
from kalmap.records.parse import File

#: A file of at most so many bytes is read as a whole.
_WHOLE = 1 << 20
#: Of a larger file, so many pieces of so many bytes are read.
_PIECES = 8
_PIECE_BYTES = 64 * 1024
_PART_BYTES = 1 << 16


class Sample(NamedTuple):
    """What was read of a file."""

    file: Path
    size: int
    """Bytes of the content, inflated; of a large gzipped file, of its beginning."""
    gzipped: bool
    whole: bool
    """Whether `start` is the whole content."""
    start: bytes
    """The beginning of the content, inflated; the whole of it if it is small."""

    @property
    def head(self) -> bytes:
        """What a format is recognised from."""
        return self.start[:HEAD_BYTES]

    def pieces(self) -> list[bytes]:
        """The beginning, and pieces from further on, which begin at even bytes."""
        if self.whole or self.gzipped:
            return [self.start]
        step = self.size // _PIECES & ~1
        return [
            self.start[:_PIECE_BYTES],
            *(_read(self.file, at, at + _PIECE_BYTES) for at in range(step, self.size, step)),
        ]

    def files(self, format_: Format) -> Iterator[File]:
        """Records of the file, for the parser: all of them if it is small."""
        if self.whole or self.gzipped:
            content = self.start
            if not self.whole:
                content = content[: content.rfind(b"\n") + 1]
            yield File([content[format_.records_start :]], format_, format_.header_lines)
            return
        step = max(_PIECE_BYTES, -(-self.size // _PIECES) & ~1)

        def read(start: int, end: int) -> bytes:
            return _read(self.file, start, end)

        for start, end in format_.split(self.size, step):
            piece_end = min(end, start + _PIECE_BYTES)
            yield File(
                list(format_.read_range(start, piece_end, self.size, read)),
                format_,
                format_.header_lines if start == format_.records_start else 0,
            )


def take_sample(file: Path) -> Sample:
    """Read the beginning of a file.

    Raises:
        InvalidInput: It is gzipped, and corrupt.
        OSError: It cannot be read.
    """
    size = file.stat().st_size
    start = _read(file, 0, _WHOLE + 1)
    if not is_gzipped(start):
        return Sample(file, size, gzipped=False, whole=size <= _WHOLE, start=start)
    content = b""
    with file.open("rb") as opened:
        parts = iter(_reader(opened.read), b"")
        try:
            for part in islice(inflate(parts, str(file)), 1 << 10):
                content += part
                if len(content) > _WHOLE:
                    return Sample(file, len(content), gzipped=True, whole=False, start=content)
        except InvalidInput:
            if not content:
                raise
    return Sample(file, len(content), gzipped=True, whole=True, start=content)


def _reader(read: Callable[[int], bytes]) -> Callable[[], bytes]:
    return lambda: read(_PART_BYTES)


def _read(file: Path, start: int, end: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read(end - start)
