"""Fields: which column of a table has the timestamp, the value, the user and the unit."""

import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources

from kalmap import units
from kalmap_cli.own_files.no_values import no_value_texts
from kalmap_cli.own_files.tables import Table
from kalmap_cli.own_files.times import understand_times
from kalmap_cli.profile_tools import suggest

_UNIT_IN_NAME = re.compile(r"^(?P<name>.*?)[\s_]*[(\[]\s*(?P<unit>[^)\]]{1,12})\s*[)\]]\s*$")
_UNIT_AT_END = re.compile(r"^(?P<name>.+)[\s_]+(?P<unit>\S{1,8})$")
_NUMBER = re.compile(
    r"[-+]?(?:\d+(?:[.,]\d+)?|\d{1,3}(?:[.,'\u2019\s]\d{3})+(?:[.,]\d+)?)"
    # A unit. Letters and digits without a blank are a code, such as a serial number.
    r"(?:\s*[^\W\d][^\d]{0,12}|\s+[^\W\d].{0,12}|\s*%)?"
)
#: Such as com.samsung.health.heart_rate.heart_rate, or valueQuantity.value.
_INNER = re.compile(r"(?:\w+\.)+\w+")
_DIGIT = re.compile(r"[0-9]")
_MOST = 0.8
#: Units only in brackets: a column may be called F for another reason.
_LETTERS = {"c", "f"}


def unit_in_name(column: str) -> str | None:
    """The unit in a column's name, such as Weight (kg), glucose mg/dL or lbs; or None."""
    if _INNER.fullmatch(column):
        column = column.rpartition(".")[2]
    for pattern in (_UNIT_IN_NAME, _UNIT_AT_END):
        found = pattern.match(column)
        if found and units.canonical(found["unit"]) in units.KNOWN:
            if pattern is _UNIT_AT_END and found["unit"].casefold() in _LETTERS:
                continue
            return found["unit"].strip()
    known = units.canonical(column) in units.KNOWN and column.casefold() not in _LETTERS
    return column if known else None


def guess_fields(
    table: Table,
    plausible: Callable[[str], bool],
    is_called: Callable[[str], bool],
    has_its_unit: Callable[[str], bool],
) -> dict[str, list[str]]:
    """Guess the columns of fields by their names and their cells; several if they are not certain.

    Only a timestamp's several columns belong together.

    Args:
        table: The table.
        plausible: Whether a column's numbers can be values of the profile.
        is_called: Whether a column is called like what the profile measures.
        has_its_unit: Whether a column's name has a unit that is converted to the profile's.
    """
    found: dict[str, list[str]] = {}
    times = time_columns(table)
    if times:
        found["timestamp"] = times
    free = [column for column in table.columns if column not in times]
    for field in ("unit", "source", "measurement_id", "user_id"):
        named = _named(field, free)
        if field == "user_id":
            named = [name for name in named if _repeats(table, name)]
        if named:
            found[field] = named[:1]
            free.remove(named[0])
    numbers = [column for column in free if is_numeric(table.cells(column))]
    numbers = [column for column in numbers if not counts_from_1970(table.cells(column))]
    known = set(_named("value", numbers))
    named = [name for name in numbers if name in known]
    exact = [name for name in named if _plain(name) == "value"]
    called = [name for name in numbers if is_called(without_unit(name))]
    bare = [name for name in numbers if has_its_unit(name) and unit_in_name(name) == name]
    if exact or called or named or len(bare) == 1:
        found["value"] = exact or called or named or bare
    elif len(numbers) > 1 or (numbers and plausible(numbers[0])):
        with_unit = any(map(unit_in_name, numbers))
        likely = [n for n in numbers if not (with_unit and _is_code(table, n))]
        found["value"] = sorted(likely, key=lambda n: not has_its_unit(n))
    return found


def user_columns(table: Table) -> list[str]:
    """The columns that may name users."""
    return [name for name in _named("user_id", table.columns) if _repeats(table, name)]


def time_columns(table: Table) -> list[str]:
    """The column of timestamps, or those of date and time of day; empty if there is none."""
    dates = {
        column: times
        for column in table.columns
        if (times := understand_times(table.cells(column))) is not None
        and not (times.dates[0].startswith("unix") and not _named("timestamp", [column])
                 and not _named("date", [column]))
    }  # fmt: skip
    named = _named("timestamp", list(dates)) or _named("date", list(dates))
    chosen = named[:1] or (list(dates) if len(dates) == 1 else [])
    if not chosen:
        return []
    [date] = chosen
    if not dates[date].clock:
        others = [column for column in table.columns if column != date]
        clocks = [name for name in _named("time", others) if _is_clock(table.cells(name))]
        if clocks:
            return [date, clocks[0]]
    return [date]


def is_called_a_time(column: str) -> bool:
    """Whether a column is called like a date or a time."""
    return any(_named(field, [column]) for field in ("timestamp", "date", "time"))


def _is_clock(cells: Sequence[object]) -> bool:
    fitting = sum(bool(re.match(r"\d{1,2}[:.h]\d\d", str(cell).strip())) for cell in cells)
    return bool(cells) and fitting >= _MOST * len(cells)


def is_numeric(cells: Sequence[object]) -> bool:
    """Whether a column has numbers, with or without a unit."""
    # Texts such as N/A are in columns of numbers, too.
    cells = [cell for cell in cells if not no_value_texts([cell])]
    fitting = sum(
        not isinstance(cell, bool)
        and (isinstance(cell, int | float) or bool(_NUMBER.fullmatch(str(cell).strip())))
        for cell in cells
    )
    return bool(cells) and fitting >= _MOST * len(cells)


def counts_from_1970(cells: Sequence[object]) -> bool:
    """Whether a column's numbers are rather times than values."""
    times = understand_times(list(cells))
    return times is not None and times.dates[0].startswith("unix")


def _is_code(table: Table, column: str) -> bool:
    """Whether a column without a unit has only numbers of one digit, such as a kind of record."""
    return unit_in_name(column) is None and all(
        _DIGIT.fullmatch(str(cell).strip()) for cell in table.cells(column)
    )


def _repeats(table: Table, column: str) -> bool:
    """Whether a column can name users: its cells are not one by one different."""
    cells = table.cells(column)
    return len(set(map(str, cells))) < len(cells) or len(cells) == 1 or _plain(column) != "id"


def _named(field: str, columns: Sequence[str]) -> list[str]:
    """The columns whose name is one of a field's, in the order of these names."""
    by_name: dict[str, str] = {}
    for column in columns:
        *_, last = column.split(".")
        # A user's number is called id; a device's is, too.
        inner = [_two_last(column)] if field == "user_id" else [last]
        for name in (column, without_unit(column), *inner):
            by_name.setdefault(_plain(name), column)
    return list(dict.fromkeys(by_name[name] for name in _names()[field] if name in by_name))


def _two_last(column: str) -> str:
    """The end of a name of a field within another, such as meta.user.id."""
    return " ".join(column.split(".")[-2:])


def without_unit(column: str) -> str:
    """A column's name without the unit in it, and without those of a field around it."""
    if _INNER.fullmatch(column):
        column = column.rpartition(".")[2]
    found = _UNIT_IN_NAME.match(column)
    if found:
        return found["name"]
    at_end = _UNIT_AT_END.match(column)
    return at_end["name"] if at_end and unit_in_name(column) else column


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name.strip().strip(".:").casefold())


@cache
def _names() -> dict[str, list[str]]:
    file = resources.files(__package__).joinpath("column_names.json")
    content: dict[str, list[str]] = json.loads(file.read_bytes())
    content["value"] += suggest.quantity_names()
    return {field: [_plain(name) for name in names] for field, names in content.items()}
