"""Open quotes: quoted cells that go on in the next line, which a format of lines cannot read.

A table is cut at line ends, so its records end there. What such a cell holds may look like a
record. Its lines are never read as one: all of them are unreadable, up to the one that ends it.
"""

import csv
from collections.abc import Iterable, Iterator
from itertools import accumulate

from kalmap.outcome import Reason
from kalmap.records.line_block import LineBlock
from kalmap.records.measurement import MAX_LINE_BYTES, Measurement, RecordError

_QUOTE = b'"'
_SENTENCE = (
    "The line has or is in an open quote: a quoted cell goes on in the next line, or began in an "
    "earlier one. kalmap reads no cell that has several lines."
)


class OpenQuoteBlock(LineBlock):
    """Whole lines of which none can be read."""

    def measurement(self, record: bytes) -> Measurement:  # noqa: ARG002
        """Refuse a record.

        Raises:
            RecordError: Always.
        """
        raise RecordError(Reason.MALFORMED, _SENTENCE)


def cut_at_open_quotes(blocks: Iterable[bytes], delimiter: str) -> Iterator[tuple[bytes, bool]]:
    """Cut blocks of whole lines into those that are read, and those with an open quote.

    A line with an odd number of quotes has one. If it begins a cell, the lines behind it are in
    that cell, up to the next such line. A quote that none ends within `MAX_LINE_BYTES` is a slip,
    and only its own line is refused.

    Args:
        blocks: Whole lines, in their order.
        delimiter: What separates cells.

    Yields:
        Whole lines, and whether quotes are open in them.
    """
    left = 0  # bytes that a cell which was opened in an earlier block may still have
    for data in blocks:
        lines = data.split(b"\n") if left or _QUOTE in data else []
        odd = [number for number, line in enumerate(lines) if line.count(_QUOTE) % 2]
        if not odd and not left:
            yield data, False
            continue
        ends = list(accumulate(len(line) + 1 for line in lines))
        amiss = [False] * len(lines)
        begin, limit = 0, left  # where an open cell begins, and the byte up to which it may go on
        for number in [*odd, len(lines)]:
            is_last = number == len(lines)
            if limit:
                is_closed = not is_last and ends[number] - len(lines[number]) <= limit
                if is_closed or (is_last and ends[-1] <= limit):
                    amiss[begin:number] = [True] * (number - begin)
                if is_closed:
                    amiss[number], limit = True, 0
                    continue
            if not is_last:
                amiss[number] = True
                is_open = opens_a_cell(lines[number].decode(errors="replace"), delimiter)
                begin, limit = number + 1, ends[number] + MAX_LINE_BYTES if is_open else 0
        left = max(0, limit - ends[-1])
        yield from _pieces(lines, amiss)


def opens_a_cell(line: str, delimiter: str) -> bool:
    """Whether a quoted cell begins in a line and does not end in it."""
    try:
        next(csv.reader([line.rstrip("\r")], delimiter=delimiter, strict=True), None)
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _pieces(lines: list[bytes], amiss: list[bool]) -> Iterator[tuple[bytes, bool]]:
    """Join lines that are alike. The last one has no line end; it is empty if the data has one."""
    start = 0
    for number in range(1, len(lines) + 1):
        is_end = number == len(lines)
        if is_end or amiss[number] != amiss[start]:
            piece = b"\n".join(lines[start:number]) + (b"" if is_end else b"\n")
            if piece:
                yield piece, amiss[start]
            start = number
