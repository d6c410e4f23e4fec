"""Tables of text: cells aligned in columns."""

from collections.abc import Container, Sequence

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
