"""Commands that write a table anew, cell by cell, for what kalmap asks to be changed in it."""

import shlex

from kalmap.records.dialects import Delimiter
from kalmap.records.mapping import Encoding
from kalmap_cli.inputs import STDIN
from kalmap_cli.own_files.samples import Sample

_CODECS = {"utf-8": "utf-8-sig", "utf-16-le": "utf-16", "utf-16-be": "utf-16", "latin-1": "cp1252"}
#: Those that a change of a cell may need.
_MODULES = ("datetime", "re")


def rewriting_command(
    sample: Sample,
    encoding: Encoding,
    delimiter: Delimiter,
    cell: str,
    *,
    target: str,
    rows: str = "row for row in rows",
) -> str:
    """A command that writes a table anew, in UTF-8.

    Args:
        sample: Of the file.
        encoding: Of the file.
        delimiter: Of its cells.
        cell: What becomes of a `cell` in column `n`, counted from 0, in Python.
        target: The name of the file that is written.
        rows: Which `rows` are written, in Python.
    """
    mark = '"\\t"' if delimiter == "\t" else f'"{delimiter}"'
    script = (
        f"import {', '.join(['csv', *(name for name in _MODULES if f'{name}.' in cell)])}; "
        f'rows = csv.reader(open(0, encoding="{_CODECS[encoding]}", newline=""), '
        f"delimiter={mark}); "
        'out = open(1, "w", encoding="utf-8", newline=""); '
        f'csv.writer(out, delimiter={mark}, lineterminator="\\n").writerows('
        f"[{cell} for n, cell in enumerate(row)] {rows.removeprefix('row ')})"
    )
    file = "FILE" if sample.file is STDIN else shlex.quote(str(sample.file))
    if sample.gzipped:
        return f"zcat {file} | python3 -c {shlex.quote(script)} > {target}"
    return f"python3 -c {shlex.quote(script)} < {file} > {target}"
