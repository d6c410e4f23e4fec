"""Encodings: text in UTF-16 or Latin-1 becomes UTF-8, part by part.

Bytes that are no text in the encoding become bytes that are no UTF-8, so their line is refused.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator

from kalmap.records.mapping import Encoding
from kalmap.records.measurement import MAX_LINE_BYTES

_PYTHON_NAMES = {"latin-1": "cp1252"}
_ERRORS = "kalmap-keep"
#: Bytes of a character of UTF-16, as far as line ends are concerned.
_WIDTH = 2


def _keep(error: UnicodeError) -> tuple[str, int]:
    """Bytes that cannot be decoded become halves of surrogate pairs."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udc80" * (error.end - error.start), error.end


codecs.register_error(_ERRORS, _keep)


def is_wide(encoding: Encoding) -> bool:
    """Whether a line end has two bytes."""
    return encoding in {"utf-16-le", "utf-16-be"}


def to_utf_8(parts: Iterable[bytes], encoding: Encoding) -> Iterator[bytes]:
    """Change the encoding of a text that is cut anywhere."""
    if encoding == "utf-8":
        yield from parts
        return
    decoder = codecs.getincrementaldecoder(_PYTHON_NAMES.get(encoding, encoding))(_ERRORS)
    for part in parts:
        yield decoder.decode(part).encode(errors="surrogatepass")
    yield decoder.decode(b"", final=True).encode(errors="surrogatepass")


def find_line_end(data: bytes, encoding: Encoding, start: int) -> int:
    """The position behind the first line end from `start` on, which begins a character; or -1."""
    if not is_wide(encoding):
        return data.find(b"\n", start) + 1 or -1
    mark = "\n".encode(encoding)
    while (start := data.find(mark, start)) >= 0:
        if start % _WIDTH == 0:
            return start + _WIDTH
        start += 1
    return -1


def read_wide_range(
    start: int, end: int, size: int, read: Callable[[int, int], bytes], *, encoding: Encoding,
    records_start: int,
) -> Iterator[bytes]:  # fmt: skip
    """Read the whole lines of UTF-16 that begin in [start, end), as LineFormat.read_range does."""
    first = start - _WIDTH * (start > records_start)
    data = read(first, min(end + _WIDTH * MAX_LINE_BYTES, size))
    begin = 0
    if start > records_start:
        begin = find_line_end(data, encoding, 0)
        if begin < 0 or first + begin >= end:
            return
    last = find_line_end(data, encoding, end - first - _WIDTH)
    yield data[begin:] if last < 0 else data[begin:last]
