"""Table blocks: rows of a table of Arrow or Parquet, read column by column.

A row means what the same record means as a line of JSON: `records` writes that line, and the parser
of lines reads it. `columns` reads most rows much faster, and leaves those to `records` that need a
sentence. Both give the same readings.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np

from kalmap.moments import DAY, EARLIEST, LATEST, SECOND, microseconds, moment_at
from kalmap.outcome import Reason
from kalmap.readings import F64, I64, Bool
from kalmap.records import table_cells as cells
from kalmap.records.arrow_library import import_arrow
from kalmap.records.clocks import PER_SECOND, Clock
from kalmap.records.coded import Coded, CodedReadings
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.line_block import Decoded
from kalmap.records.mapping import FIELDS
from kalmap.records.measurement import (
    MAX_ID_BYTES,
    MAX_LINE_BYTES,
    MOST_WHOLE,
    Measurement,
    RecordError,
    as_name,
    measurement_of,
    refuse_inexact,
)
from kalmap.records.rows import RowReader
from kalmap.records.table_layout import TableLayout
from kalmap.records.timestamps import Timestamp

#: Fields whose whole numbers are read as text.
_NAMES = ("user_id", "source", "measurement_id")
_own = Jsonl()


class Plain(NamedTuple):
    """The rows of a block that could be read column by column."""

    block: "TableBlock"
    rows: I64
    """Their positions in the block."""
    readings: CodedReadings

    def where(self, chosen: Bool) -> "Plain":
        """Some of them; `chosen` has shape (rows,)."""
        places = np.flatnonzero(chosen)
        users, units, sources, time, value, ids = self.readings
        return Plain(
            self.block,
            self.rows[places],
            CodedReadings(
                users.take(places),
                units.take(places),
                sources.take(places),
                time[places],
                value[places],
                [ids[place] for place in places.tolist()],
            ),
        )

    def lines(self) -> Sequence[int]:
        """The line of each record of the block, plain or not, from 1."""
        return self.block.record_lines()

    def ordinals(self) -> I64:
        """The position of each plain row among the block's records. Shape (rows,)."""
        return self.block.ordinals()[self.rows]

    def others(self) -> Iterator[tuple[int, int, bytes]]:
        """Iterate over the other records of the block: ordinal, number from 1, and line."""
        rest = np.ones(self.block.lines, bool)
        rest[self.rows] = False
        ordinals = self.block.ordinals()
        for row, line in self.block.lines_of(np.flatnonzero(rest)):
            yield int(ordinals[row]), row + 1, line


class TableReader:
    """Reads the rows of one table.

    Args:
        layout: Which columns are read, and how.
    """

    def __init__(self, layout: TableLayout) -> None:
        self.layout = layout
        self.mapping = layout.mapping
        self.rows = RowReader(layout.mapping, None)
        self.clock = Clock(layout.mapping.dates, layout.mapping.tz)


class TableBlock:
    """Some rows of a table.

    Args:
        reader: Of the table.
        batch: The rows, a record batch of pyarrow.
    """

    def __init__(self, reader: TableReader, batch: Any) -> None:
        self._reader = reader
        self._layout = reader.layout
        self._mapping = reader.mapping
        self._batch = cells.without_views(batch)

    @property
    def lines(self) -> int:
        """The number of rows."""
        return int(self._batch.num_rows)

    def decoded(self) -> Decoded | None:
        """Decode all records at once; None if they must be decoded one by one."""
        plain = self.columns()
        lines = self.record_lines()
        if plain is None or len(plain.rows) < len(lines):
            return None
        users, units, sources, time, value, ids = plain.readings
        measurements = [
            Measurement(
                user_id=users.names[user] or "",
                timestamp=moment_at(moment),
                value=number,
                unit=units.names[unit],
                source=sources.names[source],
                measurement_id=name,
            )
            for user, moment, number, unit, source, name in zip(
                users.codes.tolist(), time.tolist(), value.tolist(), units.codes.tolist(),
                sources.codes.tolist(), ids, strict=True,
            )
        ]  # fmt: skip
        return Decoded(measurements, lines)

    def measurement(self, record: bytes) -> Measurement:
        """Read one row, written as a line of JSON.

        Raises:
            RecordError: It cannot be read.
        """
        if len(record) > MAX_LINE_BYTES:
            raise RecordError(
                Reason.MALFORMED, f"The row has texts of more than {MAX_LINE_BYTES:,} bytes."
            )
        fields = _own.decode_line(record)
        if self._layout.is_own:
            for field in _NAMES:
                refuse_inexact(field, fields.get(field), fields)
            return measurement_of(fields)
        return self._reader.rows.measurement(json.loads(record))

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Iterate over the rows that are records: their numbers, from 1, and their lines."""
        for row, line in self.lines_of(np.arange(self.lines)):
            yield row + 1, line

    def ordinals(self) -> I64:
        """For each row that is a record, its position among the records. Shape (rows,)."""
        return np.cumsum(self._is_record()) - 1

    def record_lines(self) -> Sequence[int]:
        """The row of each record, from 1."""
        if not self._mapping.skip_empty and not self._mapping.only:
            return range(1, self.lines + 1)
        rows: list[int] = (np.flatnonzero(self._is_record()) + 1).tolist()
        return rows

    def columns(self) -> Plain | None:
        """Read rows column by column; None if this table must be read row by row.

        Raises:
            Exception: A column holds something that only reading row by row finds.
        """
        layout, mapping = self._layout, self._mapping
        if mapping.only or any(
            len(mapping.names_of(field)) > 1 for field in FIELDS
        ) or layout.kind("value") == "text":  # fmt: skip
            return None
        good = self._is_record()
        time, inside = self._times()
        value = self._values()
        good &= inside & np.isfinite(value)
        users = self._names("user_id", mapping.user)
        good &= self._are_ids(users)
        rows = np.flatnonzero(good)
        readings = CodedReadings(
            users=users[0].take(rows),
            units=self._names("unit", mapping.unit)[0].take(rows),
            sources=self._names("source", mapping.source)[0].take(rows),
            time=time[rows],
            value=value[rows],
            ids=self._ids(rows),
        )
        return Plain(self, rows, readings)

    def _column(self, field: str) -> Any:
        [name] = self._mapping.names_of(field)
        return self._batch.column(self._batch.schema.get_field_index(name))

    def lines_of(self, rows: I64) -> Iterator[tuple[int, bytes]]:
        """Iterate over those of some rows that are records: their positions, and their lines."""
        chosen = self._batch
        if len(rows) < self.lines:
            chosen = chosen.take(import_arrow("A table is read").array(rows))
        kinds = self._layout.kinds
        columns = {
            name: cells.json_cells(chosen.column(chosen.schema.get_field_index(name)), kind)
            for name, kind in kinds.items()
        }
        if self._layout.is_own:
            columns = {
                field: [*map(as_name, columns[name])] if field in _NAMES else columns[name]
                for field in FIELDS
                for name in self._mapping.names_of(field)
            }
        write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        is_record = self._reader.rows.is_record
        for row, values in zip(rows.tolist(), zip(*columns.values(), strict=True), strict=True):
            record = dict(zip(columns, values, strict=True))
            if self._layout.is_own or is_record(record):
                yield row, write(record).encode("utf-8", "surrogateescape")

    def _is_record(self) -> Bool:
        if not (self._mapping.skip_empty or self._mapping.only):
            return np.ones(self.lines, bool)
        if self._mapping.only or self._layout.kind("value") in {None, "text"}:
            found = np.zeros(self.lines, bool)
            found[[number - 1 for number, _ in self.records()]] = True
            return found
        return ~cells.is_null(self._column("value"))

    def _values(self) -> F64:
        return cells.floats(self._column("value"))

    def _times(self) -> tuple[I64, Bool]:
        """Times in microseconds since 1970 UTC, and whether they could be read."""
        column = self._column("timestamp")
        kind = self._layout.kind("timestamp")
        present = ~cells.is_null(column)
        if kind == "time":
            time, inside = cells.times(column)
            if column.type.tz is None:
                time = self._in_utc(time)
        elif kind in {"integer", "number"}:
            time, inside = self._since_1970(column, kind == "integer")
        else:
            time, inside = self._text_times(cells.json_cells(column, kind or "text"))
        return time, present & inside & (time >= EARLIEST) & (time <= LATEST)

    def _in_utc(self, local: I64) -> I64:
        """Times on the clock of the mapping's zone, in UTC."""
        days, day = np.unique(local // DAY, return_inverse=True)
        read = self._reader.clock.aware
        bounds = [
            [read(_naive(moment * DAY)).utcoffset() for moment in (number, number + 1)]
            for number in days.tolist()
        ]
        offset = np.array([(first or timedelta()) // timedelta(microseconds=1)
                           for first, _ in bounds], np.int64)  # fmt: skip
        turns = np.array([first != last for first, last in bounds], bool)
        time = local - offset[day]
        for row in np.flatnonzero(turns[day]).tolist():
            time[row] = microseconds(read(_naive(int(local[row]))))
        return time

    def _since_1970(self, column: Any, are_whole: bool) -> tuple[I64, Bool]:
        per_second = PER_SECOND[self._mapping.dates]
        if per_second > SECOND:
            return self._parts_since_1970(column, per_second // SECOND, are_whole)
        factor = SECOND // per_second
        if are_whole:
            whole = cells.integers(column)
            inside = np.abs(whole) <= LATEST // factor
            return np.where(inside, whole, 0) * factor, inside
        numbers = cells.floats(column) * factor
        inside = np.isfinite(numbers) & (np.abs(numbers) <= LATEST)
        return np.rint(np.where(inside, numbers, 0)).astype(np.int64), inside

    def _parts_since_1970(self, column: Any, step: int, are_whole: bool) -> tuple[I64, Bool]:
        """Microseconds from smaller parts of a second, of which each has so many."""
        if are_whole:
            whole, rest = np.divmod(cells.integers(column), step)
            up = (2 * rest > step) | ((2 * rest == step) & (whole % 2 == 1))
            return whole + up, np.ones(whole.size, bool)
        numbers = cells.floats(column) / step
        inside = np.isfinite(numbers) & (np.abs(numbers) <= LATEST)
        return np.rint(np.where(inside, numbers, 0)).astype(np.int64), inside

    def _text_times(self, texts: list[Any]) -> tuple[I64, Bool]:
        time, inside = np.zeros(len(texts), np.int64), np.zeros(len(texts), bool)
        read: Callable[[str], Any] = self._reader.clock.read
        if self._layout.is_own:

            def read(text: str) -> Any:
                return msgspec.convert(text, Timestamp)

        for row, text in enumerate(texts):
            if text:
                try:
                    time[row] = microseconds(read(text if self._layout.is_own else text.strip()))
                except (ValueError, OverflowError):
                    continue
                inside[row] = True
        return time, inside

    def _names(self, field: str, constant: str | None) -> tuple[Coded, Bool]:
        """A column of names, and whether each is there. Empty names are none."""
        count = self.lines
        if not self._mapping.names_of(field) or self._layout.kind(field) == "nothing":
            return Coded.constant(constant, count), np.full(count, constant is not None)
        column = self._column(field)
        kind = self._layout.kind(field)
        present = ~cells.is_null(column)
        if kind == "text":
            names, codes = cells.coded_texts(column)
            if not self._layout.is_own:
                names = [name and name.strip() for name in names]
        elif kind == "integer":
            names, codes = cells.coded_integers(column)
        else:
            numbers = cells.floats(column)
            present &= (np.floor(numbers) == numbers) & (np.abs(numbers) < MOST_WHOLE)
            distinct, positions = np.unique(np.where(present, numbers, 0), return_inverse=True)
            names, codes = [str(int(n)) for n in distinct.tolist()], positions.astype(np.int32)
        codes = np.where(present, codes, len(names)).astype(np.int32)
        filled = [name or constant for name in names] + [constant]
        return Coded(filled, codes), np.array([bool(name) for name in filled])[codes]

    def _are_ids(self, users: tuple[Coded, Bool]) -> Bool:
        coded, present = users
        fit = [_is_id(name) for name in coded.names]
        are_ids: Bool = present & np.array(fit, bool)[coded.codes]
        return are_ids

    def _ids(self, rows: I64) -> list[str | None]:
        field = "measurement_id"
        kind = self._layout.kind(field)
        if kind in {None, "nothing"}:
            return [None] * len(rows)
        if kind == "text":
            column = self._column(field)
            found = cells.json_cells(
                column.take(import_arrow("A table is read").array(rows)), "text"
            )
            if self._layout.is_own:
                return [name or None for name in found]
            return [(name and name.strip()) or None for name in found]
        coded, present = self._names(field, None)
        if kind == "number" and not (present | cells.is_null(self._column(field))).all():
            raise RecordError(Reason.MALFORMED, "measurement_id is not a whole number.")
        return [coded.names[code] for code in coded.codes[rows].tolist()]


def _is_id(name: str | None) -> bool:
    return name is not None and 0 < len(name.encode()) <= MAX_ID_BYTES and name.isprintable()


def _naive(microseconds_: int) -> Any:
    return moment_at(microseconds_).replace(tzinfo=None)
