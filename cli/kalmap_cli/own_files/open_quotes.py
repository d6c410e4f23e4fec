"""Quoted cells of several lines: a file with them is refused, with a command that joins them."""

import shlex
from pathlib import Path

from kalmap.records.dialects import Delimiter, text_lines
from kalmap.records.mapping import Encoding
from kalmap.records.open_quotes import opens_a_cell
from kalmap_cli.errors import WrongUsage
from kalmap_cli.inputs import STDIN
from kalmap_cli.own_files.samples import Sample

_SHOWN = 60
_CODECS = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16", "utf-16-be": "utf-16", "latin-1": "cp1252"}


def refuse_cells_of_several_lines(sample: Sample, encoding: Encoding, delimiter: Delimiter) -> None:
    """Refuse a table in which a quoted cell goes on in the next line.

    Raises:
        WrongUsage: One does, as far as the sample shows.
    """
    for number, piece in enumerate([sample.start, *sample.pieces()[1:]]):
        # Of a piece from further on, the first line and the last one may be cut.
        lines = text_lines(piece, encoding)
        for line_number, line in enumerate(lines[number > 0 : -1], start=1):
            if line.count('"') % 2 and opens_a_cell(line, delimiter):
                where = f"line {line_number}" if number == 0 else "the line"
                raise WrongUsage(
                    f"{sample.file}: a quoted cell begins in {where} {line[:_SHOWN]!r} and goes on "
                    "in the next line. kalmap reads no cell that has several lines. Join them: "
                    f"{_joining(sample, encoding, delimiter)} - then give joined.csv. If the "
                    "quotation mark is a slip, take it out of the line instead."
                )


def _joining(sample: Sample, encoding: Encoding, delimiter: Delimiter) -> str:
    """A command that makes one line of each cell's lines."""
    script = (
        "import csv; "
        f'source = csv.reader(open(0, encoding="{_CODECS[encoding]}", newline=""), '
        f"delimiter={_literal(delimiter)}); "
        'target = open(1, "w", encoding="utf-8", newline=""); '
        f'csv.writer(target, delimiter={_literal(delimiter)}, lineterminator="\\n").writerows('
        '[" ".join(cell.splitlines()) for cell in row] for row in source)'
    )
    file = shlex.quote(str(sample.file if sample.file != STDIN else Path("FILE")))
    if sample.gzipped:
        return f"zcat {file} | python3 -c {shlex.quote(script)} > joined.csv"
    return f"python3 -c {shlex.quote(script)} < {file} > joined.csv"


def _literal(delimiter: str) -> str:
    return '"\\t"' if delimiter == "\t" else f'"{delimiter}"'
