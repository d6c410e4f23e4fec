"""Dialects: how a table in a text file is written, recognised from its first bytes."""

import csv
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

from kalmap.records.encodings import to_utf_8
from kalmap.records.line_format import BOM
from kalmap.records.mapping import MAX_SKIP, Encoding, as_text
from kalmap.records.other_formats import alternates_with_zeros

Delimiter = Literal[",", ";", "\t", "|"]
#: In this order if several fit equally well: a comma is also in numbers and in prose.
_DELIMITERS: tuple[Delimiter, ...] = ("\t", ";", "|", ",")
DELIMITER_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_LINES = 200
#: Bytes that are no character's first in UTF-8.
_CONTINUATION = bytes(range(0x80, 0xC0))
#: Bytes of a cut character at most.
_MOST_CUT = 3
#: How the exports of Samsung Health begin, whose rows end with a comma.
_SAMSUNG = "com.samsung."
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_COLUMNS_SHOWN = 12
#: Lines before a header that a spreadsheet has padded, at most; and the columns of such a table.
_PADDED, _WIDE = 8, 4


class Dialect(NamedTuple):
    """How a table is written."""

    encoding: Encoding
    delimiter: Delimiter
    skip: int
    """Lines before the header, or before the first row if there is none."""
    header: list[str] | None
    """The columns' names; None if the first row has data."""
    rows: list[list[str]]
    """The first rows of data, as far as they have as many cells as most."""
    ends_with_delimiter: bool = False
    """Whether each row ends with a delimiter that the header does not have."""

    @property
    def columns(self) -> list[str]:
        """The columns' names; numbers from 1 if there are none."""
        width = len(self.rows[0]) if self.rows else 0
        return self.header or [str(number) for number in range(1, width + 1)]


def recognise_dialect(head: bytes) -> Dialect | None:
    """Recognise a table with at least two columns.

    Args:
        head: The file's first bytes, inflated; its last line may be cut off.
    """
    encoding = encoding_of(head)
    lines = text_lines(head, encoding)[:_LINES]
    if not lines:
        return None
    stated = _stated_delimiter(lines[0])
    found: tuple[int, int, Delimiter, list[list[str]]] | None = None
    for delimiter in [stated] if stated else _DELIMITERS:
        rows = [_cells(line, delimiter) for line in lines]
        if stated:
            rows[0] = []
        widths = Counter(len(row) for row in rows if len(row) > 1)
        if not widths:
            continue
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
        if found is None or count > found[0]:
            found = count, width, delimiter, rows
    if found is None:
        return None
    _, width, delimiter, rows = found
    first = next(number for number, row in enumerate(rows) if len(row) == width)
    first = _padded_header(rows, first, width)
    if first > MAX_SKIP or any(_CONTROL.search(cell) for cell in rows[first]):
        return None
    table = [row for row in rows[first:] if len(row) == width]
    if first and _end_with_delimiter(table, rows[first - 1], lines[0]):
        cut = [row[:-1] for row in table]
        return Dialect(encoding, delimiter, first - 1, rows[first - 1], cut, True)
    is_header = not any(_is_data(cell) for cell in table[0])
    return Dialect(encoding, delimiter, first, table[0] if is_header else None, table[is_header:])


def _end_with_delimiter(table: list[list[str]], header: list[str], line: str) -> bool:
    """Whether rows have an empty last cell more than the header. A decimal comma makes one, too."""
    if len(table[0]) != len(header) + 1 or any(row[-1] for row in table):
        return False
    if not all(header) or any(map(_is_data, header)):
        return False
    pairs = [pairwise(row) for row in table]
    may_be_cut = any(
        all(left.isdigit() and right.isdigit() and len(right) <= 2 for left, right in column)
        for column in zip(*pairs, strict=True)
    )
    return line.removeprefix("\ufeff").startswith(_SAMSUNG) or not may_be_cut


def _padded_header(rows: list[list[str]], first: int, width: int) -> int:
    """The line of the header, where a spreadsheet has padded the lines before it with commas."""
    if width < _WIDE or all(rows[first]):
        return first
    for number in range(first + 1, min(first + _PADDED, len(rows))):
        row = rows[number]
        if len(row) != width or all(rows[number - 1]):
            return first
        if all(row) and len(set(row)) == width and not any(map(_is_data, row)):
            return number
    return first


def whole_rows(lines: Iterable[str], delimiter: Delimiter, width: int) -> list[list[str]]:
    """The rows of lines that have so many cells."""
    return [row for row in (_cells(line, delimiter) for line in lines) if len(row) == width]


def describe_dialect(head: bytes) -> str:
    """A sentence about a table's columns; empty if there is no table."""
    dialect = recognise_dialect(head)
    if dialect is None or not dialect.rows:
        return ""
    between = DELIMITER_NAMES[dialect.delimiter]
    if dialect.header is None:
        return f"It is a table of {len(dialect.rows[0])} columns without a header. "
    return f"It has the columns {listed(dialect.header)}, separated by {between}. "


def listed(names: Iterable[str]) -> str:
    """Some names for a sentence."""
    names = [as_text(name) for name in names]
    return ", ".join(names[:_COLUMNS_SHOWN]) + (", …" if len(names) > _COLUMNS_SHOWN else "")


def encoding_of(head: bytes) -> Encoding:
    """Recognise an encoding by its mark, or by its bytes; a cut last character is allowed."""
    if head.startswith(b"\xff\xfe"):
        return "utf-16-le"
    if head.startswith(b"\xfe\xff"):
        return "utf-16-be"
    if alternates_with_zeros(head):
        return "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"
    return "utf-8" if is_utf_8(head) else "latin-1"


def is_utf_8(piece: bytes) -> bool:
    """Whether a piece of a text is UTF-8; its first and last character may be cut."""
    cut = piece[:_MOST_CUT].lstrip(_CONTINUATION)
    piece = cut + piece[_MOST_CUT:]
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(piece) - _MOST_CUT
    return True


def text_lines(head: bytes, encoding: Encoding) -> list[str]:
    """The whole lines of a head; its only line may be cut off."""
    text = b"".join(to_utf_8([head], encoding)).removeprefix(BOM).decode(errors="replace")
    lines = [line.rstrip("\r") for line in text.split("\n")]
    return lines[:-1] if len(lines) > 1 and len(head) >= 1 << 15 else lines


def _stated_delimiter(line: str) -> Delimiter | None:
    """The delimiter that Excel writes into a first line, as sep=; for example."""
    line = line.strip('"')
    mark = line[4:5]
    if line.casefold().startswith("sep=") and len(line) == 5:
        return next((known for known in _DELIMITERS if known == mark), None)
    return None


def _cells(line: str, delimiter: Delimiter) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _is_data(cell: str) -> bool:
    """Whether a cell is a number or a date, which no column is named by."""
    return bool(cell) and sum(c.isdigit() for c in cell) * 2 > len(cell.strip())
