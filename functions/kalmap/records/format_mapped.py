"""Mapped files: those of other programs, one record a line, read under a mapping."""

import csv
import html
import re
from collections.abc import Callable, Iterable, Iterator

from kalmap.errors import UnknownFormat
from kalmap.outcome import Reason
from kalmap.records.encodings import find_line_end, is_wide, read_wide_range, to_utf_8
from kalmap.records.format_jsonl import decode_object
from kalmap.records.line_block import Decoded, LineBlock
from kalmap.records.line_format import (
    BOM,
    LineFormat,
    decode_text,
    refuse_long_line,
    split_lines,
)
from kalmap.records.mapping import Mapping, as_text
from kalmap.records.measurement import Measurement, RecordError
from kalmap.records.open_quotes import OpenQuoteBlock, cut_at_open_quotes
from kalmap.records.rows import Row, RowReader

_WIDE_BOMS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
_ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_NAMES_SHOWN = 12


class Mapped(LineFormat, frozen=True, kw_only=True, tag="mapped"):
    """A file of another program."""

    mapping: Mapping
    columns: list[str] | None = None
    """The columns' names, in their order; None if each record names its own."""

    def read_range(
        self, start: int, end: int, size: int, read: Callable[[int, int], bytes]
    ) -> Iterator[bytes]:
        """Read the whole lines that begin in [start, end)."""
        if not is_wide(self.mapping.encoding):
            return super().read_range(start, end, size, read)
        return read_wide_range(
            start, end, size, read, encoding=self.mapping.encoding, records_start=self.records_start
        )

    def blocks(self, parts: Iterable[bytes]) -> Iterator[LineBlock]:
        """Cut the bytes of whole lines into blocks of whole lines."""
        reader = RowReader(self.mapping, self.columns)
        row = _ROWS[self.mapping.layout](self.mapping, reader)
        blocks = split_lines(to_utf_8(parts, self.mapping.encoding))
        if self.mapping.layout != "csv":
            yield from (MappedBlock(reader, row, data) for data in blocks)
            return
        for data, is_open in cut_at_open_quotes(blocks, self.mapping.delimiter):
            yield OpenQuoteBlock(data) if is_open else MappedBlock(reader, row, data)


class MappedBlock(LineBlock):
    """Whole lines of a file of another program.

    Args:
        reader: Reads rows.
        row: Decodes a line; None if it is no record. Raises a RecordError.
        data: The lines.
    """

    def __init__(self, reader: RowReader, row: Callable[[str], Row | None], data: bytes) -> None:
        super().__init__(data)
        self._reader = reader
        self._row = row

    def decoded(self) -> Decoded:
        """Decode all records at once.

        Raises:
            RecordError: A record cannot be read.
        """
        refuse_long_line(max(self.data.split(b"\n"), key=len))
        decode, is_record, read = self._row, self._reader.is_record, self._reader.measurement
        found = Decoded([], lines := [])
        # Decoding all lines at once gives the same text: a line feed is never part of a character.
        for number, line in enumerate(decode_text(self.data).split("\n"), start=1):
            row = decode(line.rstrip("\r")) if line else None
            if row is not None and is_record(row):
                found.measurements.append(read(row))
                lines.append(number)
        return found

    def is_record(self, line: bytes) -> bool:
        """Whether a line is a record; also true if it cannot be read."""
        try:
            row = self._row_of(line)
        except RecordError:
            return True
        return row is not None and self._reader.is_record(row)

    def measurement(self, record: bytes) -> Measurement:
        """Decode one record.

        Raises:
            RecordError: It cannot be read.
        """
        row = self._row_of(record)
        if row is None:
            raise RecordError(Reason.MALFORMED, "The line is no record.")
        return self._reader.measurement(row)

    def _row_of(self, line: bytes) -> Row | None:
        refuse_long_line(line)
        return self._row(decode_text(line).rstrip("\r"))


def mapped_format(name: str, head: bytes, mapping: Mapping) -> Mapped:
    """Find where a content's records begin, and its columns.

    Args:
        name: The content's name; used in the error's sentence only.
        head: The content's first bytes, inflated; 64 KB are enough.
        mapping: How it is read.

    Raises:
        UnknownFormat: It lacks a column of the mapping.
    """
    mark = _WIDE_BOMS.get(mapping.encoding, BOM)
    records_start = len(mark) if head.startswith(mark) else 0
    if mapping.layout != "csv":
        return Mapped(records_start=records_start, mapping=mapping)
    line = b""
    header_lines = mapping.skip + mapping.header
    for _ in range(header_lines):
        line_start = records_start
        records_start = find_line_end(head, mapping.encoding, records_start)
        if records_start < 0:
            records_start = len(head)
        line = head[line_start:records_start]
    if not mapping.header:
        end = find_line_end(head, mapping.encoding, records_start)
        line = head[records_start : end if end >= 0 else len(head)]
    text = b"".join(to_utf_8([line], mapping.encoding)).decode(errors="replace").rstrip("\r\n")
    if "\r" in text:
        raise UnknownFormat(
            f"{name}: its lines end in carriage returns alone. End them with line feeds."
        )
    names = [cell.strip() for cell in next(csv.reader([text], delimiter=mapping.delimiter), [])]
    if not mapping.header:
        names = [str(number) for number, _ in enumerate(names, start=1)]
    if mapping.ends_with_delimiter:
        names.append("")
    _check_columns(name, names, mapping)
    return Mapped(
        records_start=records_start, header_lines=header_lines, mapping=mapping, columns=names
    )


def _check_columns(name: str, names: list[str], mapping: Mapping) -> None:
    wanted = [column for field in mapping.columns for column in mapping.names_of(field)]
    for column in [*wanted, *mapping.only]:
        if column not in names:
            shown = ", ".join(as_text(found) for found in names[:_NAMES_SHOWN]) or "none"
            more = ", …" if len(names) > _NAMES_SHOWN else ""
            raise UnknownFormat(
                f"{name} has no column {as_text(column)!r}, which its mapping names. Its columns "
                f"are: {shown}{more}. `kalmap check FILE` shows how a file is understood."
            )


def _csv_rows(mapping: Mapping, reader: RowReader) -> Callable[[str], Row | None]:
    width, delimiter = reader.width, mapping.delimiter
    ends_with_delimiter = mapping.ends_with_delimiter
    header = width - ends_with_delimiter
    blanks = f"{delimiter} \t\r"

    def row(line: str) -> Row | None:
        if not line.strip(blanks):
            return None
        if '"' not in line:
            cells = line.split(delimiter)
        else:
            try:
                cells = next(csv.reader([line], delimiter=delimiter, strict=True))
            except (csv.Error, StopIteration) as error:
                raise RecordError(Reason.MALFORMED, f"The line is not CSV ({error}).") from error
        if len(cells) != width or (ends_with_delimiter and cells[-1].strip()):
            raise RecordError(
                Reason.MALFORMED, f"The line has {len(cells)} columns, the header {header}."
            )
        return cells

    return row


def _json_rows(_mapping: Mapping, _reader: RowReader) -> Callable[[str], Row | None]:
    def row(line: str) -> Row | None:
        return decode_object(line) if line and not line.isspace() else None

    return row


def _xml_rows(mapping: Mapping, _reader: RowReader) -> Callable[[str], Row | None]:
    needed = {*mapping.names_of("timestamp"), *mapping.names_of("value"), *mapping.only}

    def row(line: str) -> Row | None:
        if not line.lstrip().startswith("<"):
            return None
        found = attributes_of(line)
        return found if needed <= found.keys() else None

    return row


def attributes_of(line: str) -> dict[str, str]:
    """The attributes of an XML element that stands in a line of its own."""
    return {
        name: html.unescape(double or single) for name, double, single in _ATTRIBUTE.findall(line)
    }


_ROWS = {"csv": _csv_rows, "jsonl": _json_rows, "xml": _xml_rows}
