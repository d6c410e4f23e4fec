"""Tables: a file's columns and some of its rows, whatever its layout is."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kalmap import units
from kalmap.records.dialects import (
    DELIMITER_NAMES,
    Delimiter,
    Dialect,
    encoding_of,
    is_utf_8,
    listed,
    recognise_dialect,
    text_lines,
    whole_rows,
)
from kalmap.records.format_mapped import attributes_of
from kalmap.records.mapping import Encoding, Layout
from kalmap_cli.own_files.field_columns import each_of
from kalmap_cli.own_files.samples import Sample

_OBJECTS = 500
_UNIT_LINE = re.compile(r'[#"\s]*(?:weight )?units?["\s]*[:=,;\t]["\s]*([^\s",;]+)', re.IGNORECASE)
_ENCODINGS = {"utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "latin-1": "Latin-1 (Windows-1252)"}


class Table(NamedTuple):
    """A file's columns and some of its rows."""

    layout: Layout
    encoding: Encoding
    columns: list[str]
    rows: list[list[Any]]
    delimiter: Delimiter = ","
    skip: int = 0
    header: bool = True
    ends_with_delimiter: bool = False
    title: str | None = None
    """The form in a few words, if its layout does not tell."""
    unread: Mapping[str, str] = {}
    """Columns that cannot be read, with their types."""
    unit: str | None = None
    """A unit that a line before the header says, such as `#Units:lb`."""

    def cells(self, column: str) -> list[Any]:
        """The cells of a column that are not empty."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows if row[place] not in (None, "")]

    @property
    def told_unread(self) -> str:
        """A sentence about the columns that cannot be read; empty if there are none."""
        shown = [f"{name} ({type_})" for name, type_ in self.unread.items()]
        if not shown:
            return ""
        return (
            f" kalmap cannot read {listed(shown)}. Write what is needed as one column of text, "
            "numbers or times."
        )

    @property
    def form(self) -> str:
        """The form in a few words."""
        if self.title is not None:
            return self.title
        if self.layout == "csv":
            name = f"a table separated by {DELIMITER_NAMES[self.delimiter]}"
            if not self.header:
                name += ", without a header"
        else:
            name = {"jsonl": "JSON, one object a line", "xml": "XML"}[self.layout]
        return f"{name}, in {_ENCODINGS[self.encoding]}" if self.encoding in _ENCODINGS else name


def cells_of(table: Table, names: str | list[str], only: Mapping[str, Sequence[str]]) -> list[Any]:
    """The cells of a field's columns that are not empty, of rows that are records."""
    places = {column: table.columns.index(column) for column in only}
    kept = table._replace(
        rows=[
            row
            for row in table.rows
            if all(str(row[places[column]]) in texts for column, texts in only.items())
        ]
        or table.rows
    )
    return [cell for name in each_of(names) for cell in kept.cells(name)]


def time_cells(
    table: Table, names: str | list[str], only: Mapping[str, Sequence[str]]
) -> list[Any]:
    """The timestamps; those of several columns are joined."""
    if isinstance(names, str):
        return cells_of(table, names, only)
    places = [table.columns.index(name) for name in names]
    return [" ".join(str(row[place]) for place in places) for row in table.rows]


def read_table(sample: Sample) -> Table | None:
    """Read a table; None if the file is none."""
    encoding = encoding_of(sample.head)
    lines = text_lines(sample.head, encoding)
    first = next((line.lstrip() for line in lines if line.strip()), "")
    if first.startswith("<"):
        return _xml_table(sample, encoding)
    if first.startswith("{"):
        return _json_table(lines, encoding)
    dialect = recognise_dialect(sample.head)
    if dialect is None or not dialect.columns:
        return None
    pieces = sample.pieces()
    if dialect.encoding == "utf-8" and not all(map(is_utf_8, pieces)):
        dialect = dialect._replace(encoding="latin-1")
    rows = list(dialect.rows)
    for piece in pieces[1:]:
        rows += _piece_rows(piece, dialect)
    return Table(
        "csv", dialect.encoding, dialect.columns, rows,
        dialect.delimiter, dialect.skip, dialect.header is not None, dialect.ends_with_delimiter,
        unit=_unit_above(lines[: dialect.skip]),
    )  # fmt: skip


def _unit_above(lines: Iterable[str]) -> str | None:
    found = [match[1] for line in lines if (match := _UNIT_LINE.match(line))]
    return next((unit for unit in found if units.canonical(unit) in units.KNOWN), None)


def _piece_rows(piece: bytes, dialect: Dialect) -> list[list[str]]:
    # The first line and the last one may be cut.
    lines = text_lines(piece, dialect.encoding)[1:-1]
    width = len(dialect.columns)
    rows = whole_rows(lines, dialect.delimiter, width + dialect.ends_with_delimiter)
    return [row[:width] for row in rows]


def _json_table(lines: Iterable[str], encoding: Encoding) -> Table | None:
    objects = []
    for line in lines:
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(content, dict):
            objects.append(content)
    return _by_name("jsonl", encoding, objects[:_OBJECTS])


def _xml_table(sample: Sample, encoding: Encoding) -> Table | None:
    elements = [
        attributes_of(line)
        for number, piece in enumerate(sample.pieces())
        for line in text_lines(piece, encoding)[number > 0 :]
        if line.lstrip().startswith("<Record ")
    ]
    return _by_name("xml", encoding, elements)


def _by_name(
    layout: Layout, encoding: Encoding, records: Sequence[Mapping[str, Any]]
) -> Table | None:
    columns = list(dict.fromkeys(name for record in records for name in record))
    nested = [
        name
        for name in columns
        if any(isinstance(record.get(name), dict | list) for record in records)
    ]
    columns = [name for name in columns if name not in nested]
    if not columns and not nested:
        return None
    rows = [[record.get(name) for name in columns] for record in records]
    return Table(layout, encoding, columns, rows, unread=dict.fromkeys(nested, "nested"))
