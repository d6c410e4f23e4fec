"""Rows: from a row of another program's file to a measurement, under a mapping."""

import math
import re
from collections.abc import Mapping as Lookup
from collections.abc import Sequence
from datetime import datetime

from kalmap.outcome import Reason
from kalmap.records.clocks import Clock
from kalmap.records.mapping import FIELDS, Mapping, as_text
from kalmap.records.measurement import Measurement, RecordError, as_name, refuse_inexact

Row = Sequence[object] | Lookup[str, object]
#: A number, and what is written behind it: its unit.
_NUMBER_AND_UNIT = re.compile(
    r"([-+\u2212]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?)\s*([^\W\d_].{0,31}|%)?", re.ASCII
)


class RowReader:
    """Reads rows.

    Args:
        mapping: How.
        columns: The names of the columns, for rows that are lists; None for rows by name.
    """

    def __init__(self, mapping: Mapping, columns: Sequence[str] | None) -> None:
        self._mapping = mapping
        self._clock = Clock(mapping.dates, mapping.tz)
        self._columns = columns
        self.width = 0 if columns is None else len(columns)
        self._places = {field: self._places_of(mapping.names_of(field)) for field in FIELDS}
        self._only = [
            (self._places_of([name])[0], frozenset(texts)) for name, texts in mapping.only.items()
        ]
        self._decimal_comma = mapping.decimal == ","
        self._empty = frozenset(mapping.empty)

    def _places_of(self, names: Sequence[str]) -> list[int | str]:
        if self._columns is None:
            return list(names)
        return [self._columns.index(name) for name in names]

    def is_record(self, row: Row) -> bool:
        """Whether a row is a record at all."""
        for place, texts in self._only:
            if str(_cell(row, place)) not in texts:
                return False
        return not self._mapping.skip_empty or self._value(row) is not None

    def measurement(self, row: Row) -> Measurement:
        """Read a row that is a record.

        Raises:
            RecordError: The sentence names the column and what was found in it.
        """
        mapping = self._mapping
        user = mapping.user
        record: dict[str, object] = {}
        if user is None:
            user = self._identifier(self._first(row, "user_id"), "user_id", record)
            if user is None:
                raise self._missing("user_id", record)
        record["user_id"] = user
        measurement_id = None
        if self._places["measurement_id"]:
            measurement_id = self._identifier(
                self._first(row, "measurement_id"), "measurement_id", record
            )
            record["measurement_id"] = measurement_id
        cell = self._value(row)
        if cell is None:
            raise self._missing("value", record)
        value, unit = self._number(cell, record)
        time = self._time(row, record)
        return Measurement(
            user_id=user,
            timestamp=time,
            value=value,
            unit=unit or self._text(row, "unit") or mapping.unit,
            source=self._text(row, "source") or mapping.source,
            measurement_id=measurement_id,
        )

    def _first(self, row: Row, field: str) -> object:
        """The first cell of a field's columns that is not empty; None if all are."""
        for place in self._places[field]:
            cell = _cell(row, place)
            if cell not in (None, ""):
                return cell
        return None

    def _value(self, row: Row) -> object:
        """The first cell of the value's columns that has one; None if there is none."""
        for place in self._places["value"]:
            cell = _cell(row, place)
            if cell not in (None, "") and not (isinstance(cell, str) and cell in self._empty):
                return cell
        return None

    def _text(self, row: Row, field: str) -> str | None:
        cell = self._first(row, field)
        return None if cell is None else str(cell)

    def _identifier(self, cell: object, field: str, record: dict[str, object]) -> str | None:
        if cell is None or isinstance(cell, str):
            return cell
        refuse_inexact(self._name(field), cell, record)
        name = as_name(cell)
        if name is None or isinstance(name, str):
            return name
        raise RecordError(
            Reason.MALFORMED, f"{self._name(field)} is neither text nor a whole number.", record
        )

    def _number(self, cell: object, record: dict[str, object]) -> tuple[float, str | None]:
        def wrong(what: str) -> RecordError:
            return RecordError(
                Reason.BAD_VALUE, f"{self._name('value')} is {as_text(cell)!r}, {what}", record
            )

        unit = None
        if isinstance(cell, str):
            found = _NUMBER_AND_UNIT.fullmatch(cell.replace("\xa0", " "))
            if found is None:
                raise wrong("which is not a number.")
            digits, unit = found[1].replace("\u2212", "-"), found[2]
            mark, other = (",", ".") if self._decimal_comma else (".", ",")
            if other in digits:
                raise wrong(
                    f"which is no number with a decimal {'comma' if mark == ',' else 'point'} and "
                    "without separators of thousands."
                )
            cell = float(digits.replace(mark, "."))
        if isinstance(cell, bool) or not isinstance(cell, int | float):
            raise wrong("which is not a number.")
        try:
            value = float(cell)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise wrong("which is not finite.")
        return value, unit

    def _time(self, row: Row, record: dict[str, object]) -> datetime:
        places = self._places["timestamp"]
        cells = [_cell(row, place) for place in places]
        if len(cells) == 1:
            cell = cells[0]
        else:
            cell = " ".join(str(part) for part in cells if part not in (None, ""))
        if cell in (None, ""):
            raise self._missing("timestamp", record)
        try:
            return self._clock.read(cell)
        except ValueError as error:
            raise RecordError(
                Reason.BAD_TIMESTAMP, f"{self._name('timestamp')} {error}", record
            ) from error

    def _missing(self, field: str, record: dict[str, object]) -> RecordError:
        return RecordError(Reason.MISSING_FIELD, f"{self._name(field)} is empty.", record)

    def _name(self, field: str) -> str:
        """A field for a sentence, with its columns."""
        return f"{field} ({', '.join(map(as_text, self._mapping.names_of(field)))})"


def _cell(row: Row, place: int | str) -> object:
    cell = row.get(place) if isinstance(row, Lookup) else row[place]  # type: ignore[index, arg-type]
    return cell.strip() if isinstance(cell, str) else cell
