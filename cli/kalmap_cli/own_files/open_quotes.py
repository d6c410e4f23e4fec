"""Quoted cells of several lines: a file with them is refused, with a command that joins them."""

from collections.abc import Sequence

from kalmap.records.dialects import Delimiter, text_lines
from kalmap.records.mapping import Encoding
from kalmap.records.open_quotes import opens_a_cell
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.rewriting import rewriting_command
from kalmap_cli.own_files.samples import Sample

_SHOWN = 60


def refuse_cells_of_several_lines(sample: Sample, encoding: Encoding, delimiter: Delimiter) -> None:
    """Refuse a table in which a quoted cell goes on in the next line.

    Raises:
        WrongUsage: One does, as far as the sample shows.
    """
    for number, piece in enumerate([sample.start, *sample.pieces()[1:]]):
        # Of a piece from further on, the first line and the last one may be cut.
        lines = text_lines(piece, encoding)
        if number == 0:
            _refuse_inch_marks(sample, lines, encoding, delimiter)
        for line_number, line in enumerate(lines[number > 0 : -1], start=1):
            if line.count('"') % 2 and opens_a_cell(line, delimiter):
                where = f"line {line_number}" if number == 0 else "the line"
                join = '" ".join(cell.splitlines())'
                command = rewriting_command(sample, encoding, delimiter, join, target="joined.csv")
                raise WrongUsage(
                    f"{sample.file}: a quoted cell begins in {where} {line[:_SHOWN]!r} and goes on "
                    "in the next line. kalmap reads no cell that has several lines. Join them: "
                    f"{command} - then give joined.csv. If the "
                    "quotation mark is a slip, take it out of the line instead."
                )


def _refuse_inch_marks(
    sample: Sample, lines: Sequence[str], encoding: Encoding, delimiter: Delimiter
) -> None:
    """Refuse a table in which most lines have a quotation mark that is part of a cell.

    A line that ends a cell of several lines looks the same to a worker that begins there, so none
    is read (docs/decisions/0042).
    """
    records = [line for line in lines[1:] if line]
    odd = [line for line in records if line.count('"') % 2]
    if 2 * len(odd) <= len(records) or any(opens_a_cell(line, delimiter) for line in odd):
        return
    command = rewriting_command(sample, encoding, delimiter, "cell", target="quoted.csv")
    raise WrongUsage(
        f"{sample.file}: lines such as {odd[0][:_SHOWN]!r} have a quotation mark in a cell without "
        "quotation marks around it, and may be the end of a cell of several lines. Quote such "
        f"cells: {command} - then give quoted.csv."
    )
