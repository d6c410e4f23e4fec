"""Table layouts: which columns of a table of Arrow or Parquet are read, and as what."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from kalmap.errors import UnknownFormat
from kalmap.records.arrow_library import import_arrow
from kalmap.records.mapping import FIELDS, Mapping, as_text
from kalmap.records.measurement import OPTIONAL_FIELDS, REQUIRED_FIELDS

#: What a column has. `clock` is a time of day.
Kind = Literal["text", "integer", "number", "time", "date", "clock", "flag", "nothing", "nested",
               "other"]  # fmt: skip
_KINDS_OF: dict[str, set[Kind]] = {
    "user_id": {"text", "integer", "number", "nothing"},
    "timestamp": {"text", "integer", "number", "time", "date", "nothing"},
    "value": {"text", "integer", "number", "nothing"},
    "unit": {"text", "nothing"},
    "source": {"text", "integer", "nothing"},
    "measurement_id": {"text", "integer", "number", "nothing"},
}
_IN_WORDS: dict[str, str] = {
    "user_id": "text or whole numbers",
    "timestamp": "timestamps, text, or numbers since 1970",
    "value": "numbers",
    "unit": "text",
    "source": "text",
    "measurement_id": "text or whole numbers",
}
_NAMES_SHOWN = 12


class TableLayout(NamedTuple):
    """How a table's rows are read."""

    mapping: Mapping
    """That of the user, or one that names kalmap's own columns."""
    is_own: bool
    """Whether the columns are kalmap's own."""
    kinds: dict[str, Kind]
    """What the columns have that are read."""

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        return list(self.kinds)

    def kind(self, field: str) -> Kind | None:
        """What the only column of a field has; None if it has several columns, or none."""
        names = self.mapping.names_of(field)
        return self.kinds[names[0]] if len(names) == 1 else None


def table_layout(name: str, schema: Any, mapping: Mapping | None) -> TableLayout:
    """Find the columns of a table that are read.

    Args:
        name: The table's name, for sentences.
        schema: Its schema, of pyarrow.
        mapping: How it is read; None if it has kalmap's own columns.

    Raises:
        UnknownFormat: A column is missing, or has something that cannot be read.
    """
    names = list(schema.names)
    used = mapping or _own_mapping(name, names)
    wanted = [column for field in FIELDS for column in used.names_of(field)]
    kinds: dict[str, Kind] = {}
    for column in [*wanted, *used.only]:
        if names.count(column) > 1:
            raise UnknownFormat(
                f"{name} has {names.count(column)} columns {as_text(column)!r}, and one of them is "
                f"to be read. Rename the others. Its columns are: {_listed(names)}."
            )
        if column not in names:
            raise UnknownFormat(
                f"{name} has no column {as_text(column)!r}, which its mapping names. Its columns "
                f"are: {_listed(names)}. `kalmap check FILE` shows how a file is understood."
            )
        kinds[column] = kind_of(schema.field(column).type)
    layout = TableLayout(used, mapping is None, kinds)
    for field in FIELDS:
        for column in used.names_of(field):
            _check_kind(name, field, column, schema.field(column).type, layout)
    _check_times(name, schema, layout)
    return layout


def own_beside(names: Sequence[str], mapping: Mapping | None) -> Mapping | None:
    """The mapping of a table: none if it has kalmap's own columns, and not the mapping's."""
    if mapping is None:
        return None
    wanted = {*mapping.names_of("timestamp"), *mapping.names_of("value")}
    is_own = {name.strip().lower() for name in names}.issuperset(REQUIRED_FIELDS)
    return None if is_own and not wanted.issubset(names) else mapping


def _own_mapping(name: str, names: Sequence[str]) -> Mapping:
    by_name: dict[str, str] = {}
    for column in names:
        by_name.setdefault(column.strip().lower(), column)
    missing = [field for field in REQUIRED_FIELDS if field not in by_name]
    if missing:
        raise UnknownFormat(
            f"{name} lacks the column {' and '.join(missing)}. It needs "
            f"{', '.join(REQUIRED_FIELDS)} and may have {', '.join(OPTIONAL_FIELDS)}. Its columns "
            f"are: {_listed(names)}. A mapping says which of them to read: `kalmap check FILE` "
            "shows one."
        )
    return Mapping(columns={field: by_name[field] for field in FIELDS if field in by_name})


def kind_of(type_: Any) -> Kind:
    """What a column of a type has."""
    types = import_arrow("A table is read").types
    if types.is_dictionary(type_):
        type_ = type_.value_type
    tests: tuple[tuple[Kind, Any], ...] = (
        ("text", types.is_string), ("text", types.is_large_string), ("text", types.is_string_view),
        ("integer", types.is_integer), ("number", types.is_floating),
        ("integer", lambda found: types.is_decimal(found) and found.scale == 0),
        ("number", types.is_decimal),
        ("time", types.is_timestamp), ("date", types.is_date), ("clock", types.is_time),
        ("flag", types.is_boolean), ("nothing", types.is_null), ("nested", types.is_nested),
    )  # fmt: skip
    return next((kind for kind, is_it in tests if is_it(type_)), "other")


def _check_kind(name: str, field: str, column: str, type_: Any, layout: TableLayout) -> None:
    kind = layout.kinds[column]
    shown = f"{name}: the column {as_text(column)}"
    if kind == "nested":
        raise UnknownFormat(
            f"{shown} is nested ({as_text(type_)}). Write a row for each reading, and a column for "
            f"each of its fields, for example in DuckDB by unnest({as_text(column)})."
        )
    types = import_arrow("A table is read").types
    if field.endswith("_id") and types.is_decimal(type_) and kind == "number":
        kind = "other"
    several = field == "timestamp" and len(layout.mapping.names_of(field)) > 1
    is_text_value = field == "value" and kind == "text" and layout.is_own
    if (kind in _KINDS_OF[field] or (several and kind == "clock")) and not is_text_value:
        return
    raise UnknownFormat(
        f"{shown} has the type {as_text(type_)}; as the {field}, {_IN_WORDS[field]} are read."
    )


def _check_times(name: str, schema: Any, layout: TableLayout) -> None:
    mapping = layout.mapping
    [column, *others] = mapping.names_of("timestamp")
    kind = layout.kinds[column]
    shown = f"{name}: the column {as_text(column)}"
    is_local = kind == "date" or (kind == "time" and schema.field(column).type.tz is None)
    if is_local and not others and mapping.tz is None:
        has = "dates without a time" if kind == "date" else "times without a time zone"
        raise UnknownFormat(
            f"{shown} has {has}. Name the time zone of its clock by `source.mapping.tz`."
        )
    counts = mapping.dates.startswith("unix")
    if kind in {"integer", "number"} and not counts:
        raise UnknownFormat(
            f"{shown} has numbers, not dates. If they count from 1970, say unix_seconds or "
            "unix_milliseconds or the like by `source.mapping.dates`."
        )
    if kind in {"time", "date"} and counts:
        raise UnknownFormat(
            f"{shown} has dates, not numbers since 1970. Leave out `source.mapping.dates`."
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(as_text, names[:_NAMES_SHOWN])) or "none"
    return shown + (", …" if len(names) > _NAMES_SHOWN else "")
