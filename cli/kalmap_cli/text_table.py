"""Tables of text: cells aligned in columns."""

import shutil
from collections.abc import Container, Sequence
from typing import TextIO

_GAP = "  "


def aligned(rows: Sequence[Sequence[str]], numbers: Container[int]) -> list[str]:
    """The lines of a table.

    Args:
        rows: Its cells, the heads among them. All rows have as many.
        numbers: The columns that are aligned at their right, from 0.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def fitting(rows: Sequence[Sequence[str]], numbers: Container[int], stream: TextIO) -> list[str]:
    """The lines of a table; on a terminal that is too narrow, first cells have their own lines.

    Args:
        rows: As in `aligned`.
        numbers: As in `aligned`.
        stream: Where the lines will be printed.
    """
    lines = aligned(rows, numbers)
    if not stream.isatty() or max(map(len, lines)) <= shutil.get_terminal_size().columns:
        return lines
    rest = aligned([("", *row[1:]) for row in rows], numbers)
    return [line for row, others in zip(rows, rest, strict=True) for line in (row[0], others)]
