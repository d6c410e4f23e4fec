"""CSV with a header: one record a line, its fields separated by commas."""

import csv
from collections.abc import Iterable, Iterator
from typing import ClassVar

from kalmap.errors import UnknownFormat
from kalmap.outcome import Reason
from kalmap.records.line_block import LineBlock
from kalmap.records.line_format import BOM, FormattedBlock, LineFormat, decode_text, split_lines
from kalmap.records.measurement import (
    OPTIONAL_FIELDS,
    REQUIRED_FIELDS,
    Measurement,
    RecordError,
)
from kalmap.records.open_quotes import OpenQuoteBlock, cut_at_open_quotes


class Csv(LineFormat, frozen=True, kw_only=True, tag="csv"):
    """CSV with a header."""

    title: ClassVar[str] = "CSV"
    form: ClassVar[str] = f"CSV with the header {','.join(REQUIRED_FIELDS)}"

    columns: list[str]
    """The names of all columns, in lower case. Columns that are not fields are ignored."""

    @classmethod
    def recognise(cls, name: str, head: bytes) -> "Csv | None":
        """Return the format if a content's first line that is not blank is a header.

        Raises:
            UnknownFormat: The header lacks some of the required columns, or lines end in a
                carriage return alone.
        """
        start = len(head) - len(head.removeprefix(BOM).lstrip())
        records_start = head.find(b"\n", start) + 1 or len(head)
        header, carriage_return, _ = head[start:records_start].rstrip(b"\r\n").partition(b"\r")
        columns = column_names(header)
        missing = [field for field in REQUIRED_FIELDS if field not in columns]
        if len(missing) == len(REQUIRED_FIELDS):
            return None
        if carriage_return:
            raise UnknownFormat(
                f"{name}: its lines end in carriage returns alone. End them with line feeds."
            )
        if missing:
            raise UnknownFormat(
                f"{name}: the CSV header lacks the column {' and '.join(missing)}. It needs "
                f"{', '.join(REQUIRED_FIELDS)} and may have {', '.join(OPTIONAL_FIELDS)}."
            )
        return cls(
            columns=columns,
            records_start=records_start,
            header_lines=head[:records_start].count(b"\n"),
        )

    @classmethod
    def fields_of(cls, head: bytes) -> set[str]:
        """The names in the first line that is not blank, in lower case."""
        return set(column_names(head.removeprefix(BOM).lstrip().partition(b"\n")[0]))

    def blocks(self, parts: Iterable[bytes]) -> Iterator[LineBlock]:
        """Cut the bytes of whole lines into blocks of whole lines."""
        for data, is_open in cut_at_open_quotes(split_lines(parts), ","):
            yield OpenQuoteBlock(data) if is_open else FormattedBlock(self, data)

    def decode_block(self, data: bytes) -> list[Measurement] | None:  # noqa: ARG002
        """Return None: lines are decoded one by one."""
        return None

    def decode_line(self, line: bytes) -> dict[str, object]:
        """Decode one line to its fields by name; a record never spans lines.

        Raises:
            RecordError: It is not CSV, or its value is not a number.
        """
        text = decode_text(line).rstrip("\r")
        try:
            cells = next(csv.reader([text], strict=True))
        except (csv.Error, StopIteration) as error:
            raise RecordError(Reason.MALFORMED, f"The line is not CSV ({error}).") from error
        if len(cells) != len(self.columns):
            raise RecordError(
                Reason.MALFORMED,
                f"The line has {len(cells)} columns, the header {len(self.columns)}.",
            )
        record: dict[str, object] = {
            name: cell.strip()
            for name, cell in zip(self.columns, cells, strict=True)
            if name in _FIELDS
        }
        value = str(record["value"])
        try:
            record["value"] = float(value) if value else None
        except ValueError as error:
            raise RecordError(Reason.BAD_VALUE, "value is not a number.", record) from error
        # Python also reads 8_1 and the digits of other scripts. Most other programs do not.
        if "_" in value or not value.isascii():
            raise RecordError(Reason.BAD_VALUE, "value is not a number.", record)
        return record


_FIELDS = frozenset(REQUIRED_FIELDS + OPTIONAL_FIELDS)


def column_names(line: bytes) -> list[str]:
    """The column names of a header line; empty if it is not CSV."""
    try:
        text = line.removeprefix(BOM).decode()
    except UnicodeDecodeError:
        return []
    try:
        cells = next(csv.reader([text.rstrip("\r\n")]), [])
    except csv.Error:
        return []
    return [name.strip().lower() for name in cells]
