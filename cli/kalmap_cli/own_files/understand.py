"""Understand a file: from samples and what the user says to a mapping, or a sentence that asks."""

import re
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from kalmap import units
from kalmap.errors import InvalidInput, UnknownFormat
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.records.dialects import DELIMITER_NAMES, encoding_of, listed, text_lines
from kalmap.records.format_arrow import Arrow
from kalmap.records.format_csv import Csv
from kalmap.records.format_mapped import Mapped
from kalmap.records.format_parquet import Parquet
from kalmap.records.formats import AnyFormat, detect_format
from kalmap.records.mapping import FIELDS, Mapping, as_text, check_mapping
from kalmap.records.measurement import REQUIRED_FIELDS
from kalmap.records.other_formats import UTF_16, XML, recognise_other
from kalmap.records.parse import parse_files
from kalmap.records.table_format import TableFormat
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.arranged_otherwise import (
    refuse_dates_between,
    refuse_several_quantities,
    refuse_stones,
)
from kalmap_cli.own_files.arrow_tables import read_arrow_table
from kalmap_cli.own_files.doubts import (
    one_way,
    refuse_carriage_returns,
    refuse_columns_of_one_name,
    refuse_cut_numbers,
    refuse_mixed_dates,
    refuse_several_users,
    refuse_short_years,
    refuse_wide_rows,
    unit_column,
)
from kalmap_cli.own_files.empty_rows import tell_empty_rows
from kalmap_cli.own_files.field_columns import each_of
from kalmap_cli.own_files.fields import guess_fields, time_columns, unit_in_name
from kalmap_cli.own_files.json_documents import json_advice, refuse_nested
from kalmap_cli.own_files.no_values import has_rows_without_a_value, no_value_texts
from kalmap_cli.own_files.open_quotes import refuse_cells_of_several_lines
from kalmap_cli.own_files.other_encodings import encoding_advice
from kalmap_cli.own_files.presets import Preset, find_preset, several_series
from kalmap_cli.own_files.quantity import find_mismatch, unit_of
from kalmap_cli.own_files.questions import Asked, ask
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table, cells_of, read_table, time_cells
from kalmap_cli.own_files.times import Times, understand_times
from kalmap_cli.own_files.unknown_times import refuse_1970, refuse_unknown_times
from kalmap_cli.own_files.users import tell_other_users
from kalmap_cli.own_files.values import refuse_grouped_numbers
from kalmap_cli.profile_tools import suggest

#: Lines from which it is seen whether a file in kalmap's own form can be read.
_LINES = 200
_LEADING_NUMBER = re.compile(r"\s*[-+]?\d+(?:\.\d+)?", re.ASCII)


class Understood(NamedTuple):
    """How a file is read."""

    sample: Sample
    mapping: Mapping | None
    """None for kalmap's own formats."""
    format: AnyFormat
    form: str
    """Its form in a few words."""
    preset: str | None = None
    """Title of the preset that it fits."""
    notes: tuple[str, ...] = ()
    """What is not certain, as sentences."""


def understand(sample: Sample, said: Said, profile: Profile) -> Understood:
    """Understand a file.

    Raises:
        WrongUsage: It cannot be read, or something is not certain. The sentence says what was
            found and what to type.
    """
    name, head = str(sample.file), sample.head
    own = None if said.anything or json_advice(sample) else own_format(sample, profile)
    if own is not None:
        if isinstance(own.format, Csv):
            refuse_cells_of_several_lines(sample, "utf-8", ",")
        return own
    if advice := json_advice(sample):
        raise WrongUsage(advice)
    table = read_arrow_table(sample)
    other = None if table else recognise_other(head)
    if other and other.kind not in {UTF_16, XML}:
        raise WrongUsage(_refusal(name, head))
    if (
        table is None
        and encoding_of(head) == "latin-1"
        and (advice := encoding_advice(sample.file, head))
    ):
        raise WrongUsage(advice)
    refuse_carriage_returns(sample)
    table = table or read_table(sample)
    if table is None or (table.layout == "csv" and not table.rows):
        raise WrongUsage(_without_records(sample) or _refusal(name, head))
    if table.layout == "csv" and not table.title:
        refuse_cells_of_several_lines(sample, table.encoding, table.delimiter)
    refuse_wide_rows(sample, table)
    if not said.columns.keys() >= {"timestamp", "value"}:
        refuse_nested(sample, table)
    preset = find_preset(table.layout, table.columns, profile)
    if preset and preset.way_out and not time_columns(table):
        raise WrongUsage(
            f"{name} is an export of {preset.title}. "
            f"{preset.way_out.replace('{file}', shlex.quote(name))}"
        )
    if not time_columns(table):
        refuse_dates_between(sample, table)
    if table.layout == "xml" and preset is None:
        _refuse_several_series(sample, table, said, profile)
        raise WrongUsage(_refusal(name, head))
    return _understand_table(sample, table, preset, said, profile)


def _refuse_several_series(sample: Sample, table: Table, said: Said, profile: Profile) -> None:
    names = several_series(table.layout, table.columns, profile)
    if names:
        raise WrongUsage(
            f"{sample.file} has several series in {units.shown(profile.unit)}. The profile's name "
            f"says which one is meant: it begins with one of {', '.join(names)}. For example: "
            f"{said.again(sample.file, profile=names[0])}"
        )


def own_format(sample: Sample, profile: Profile) -> Understood | None:
    """The file in one of kalmap's own formats; None if it must be understood otherwise."""
    try:
        format_ = detect_format(str(sample.file), sample.head, None, sample.as_table())
    except UnknownFormat:
        return None
    if isinstance(format_, Parquet | Arrow):
        return Understood(sample, None, format_, f"{format_.title} with kalmap's own columns")
    # A file that has only the form, such as one with local times, needs a mapping.
    beginning = b"".join(sample.head.splitlines(keepends=True)[:_LINES])
    try:
        parsed = parse_files(sample._replace(start=beginning, whole=True).files(format_), profile)
    except InvalidInput:
        return None
    # A mapping knows no more units.
    amiss = [record for record in parsed.unreadable if record.reason != Reason.UNKNOWN_UNIT]
    if amiss and len(amiss) == parsed.records and read_table(sample) is not None:
        return None
    title = "CSV" if isinstance(format_, Csv) else "JSON lines"
    return Understood(sample, None, format_, f"kalmap's own {title}")


def _without_records(sample: Sample) -> str | None:
    """A sentence if a file has nothing, or a header only."""
    lines = [line for line in text_lines(sample.head, encoding_of(sample.head)) if line.strip()]
    if sample.whole and not lines:
        return f"The file {sample.file} is empty. Give a file with at least one measurement."
    if sample.whole and len(lines) == 1 and any(mark in lines[0] for mark in DELIMITER_NAMES):
        return f"{sample.file} has one line, {as_text(lines[0])!r}: a header, and no records."
    return None


def _refusal(name: str, head: bytes) -> str:
    if recognise_other(head):
        try:
            detect_format(name, head)
        except UnknownFormat as error:
            return str(error)
    between = ", ".join(DELIMITER_NAMES.values())
    return (
        f"{name} is neither JSONL (one JSON object a line), nor CSV with the header "
        f"{','.join(REQUIRED_FIELDS)}, nor another table with a line for each record, separated by "
        f"one of: {between}. Give it one of these forms, gzipped or not."
    )


def _understand_table(
    sample: Sample, table: Table, preset: Preset | None, said: Said, profile: Profile
) -> Understood:
    name = str(sample.file)
    found: dict[str, Any] = dict(preset.mapping) if preset else {}
    columns: dict[str, Any] = dict(found.pop("columns", {}))
    guessed = (
        {}
        if preset
        else guess_fields(
            table,
            _in_range(table, said, profile),
            lambda column: suggest.is_called(column, profile.name),
            lambda column: units.are_alike(unit_in_name(column) or "", profile.unit),
        )
    )
    columns |= {field: names for field, names in guessed.items() if field not in columns}
    if said.columns and not preset and "timestamp" in said.columns:
        columns.pop("timestamp", None)
    for field, column in said.columns.items():
        columns[field] = _named_column(name, table, field, column)
    if said.user is not None:
        refuse_several_users(sample.file, table, said)
        columns.pop("user_id", None)
    unsure = [] if "value" in said.columns else guessed.get("value", [])
    unsure = unsure if len(unsure) > 1 else []
    needed = [name for names in columns.values() for name in each_of(names)]
    refuse_columns_of_one_name(sample.file, table, needed)
    columns = {field: _simple(names) for field, names in columns.items()}
    if "value" in columns and not unsure and "unit" not in columns:
        unit = unit_column(table, columns["value"], profile)
        columns |= {"unit": unit} if unit else {}
    sure = "value" in columns and not unsure
    if sure and not preset:
        refuse_several_quantities(sample, table, columns, said, profile)
    mismatch = find_mismatch(table, columns, preset, said, profile=profile) if sure else None
    only, dates = found.get("only", {}), found.get("dates")
    ask(Asked(sample, table, columns, unsure, only, dates, profile, mismatch), said)
    refuse_cut_numbers(sample.file, table, columns["value"], said)
    mapping = found | {
        "columns": columns,
        # The columns of Arrow and Parquet have types, and no layout.
        "layout": "csv" if table.title else table.layout,
        "encoding": table.encoding,
        "user": said.user,
        "source": None if "source" in columns else said.source or found.get("source"),
    }
    if table.layout == "csv":
        mapping |= {"delimiter": table.delimiter, "skip": table.skip, "header": table.header}
        mapping["ends_with_delimiter"] = table.ends_with_delimiter
    notes: list[str] = []
    if table.encoding == "latin-1":
        notes.append(
            "It is not UTF-8 and is read as Latin-1 (Windows-1252). If names look wrong, convert "
            "it first, for example by: iconv -f WINDOWS-1250 -t UTF-8."
        )
    if said.user is not None and (told := tell_other_users(table, columns, said, sample.file)):
        notes.append(told)
    values = cells_of(table, columns["value"], found.get("only", {}))
    refuse_stones(sample, table, columns["value"], values)
    mapping["decimal"] = said.decimal or _decimal(values)
    mapping["empty"] = no_value_texts(values)
    mapping["skip_empty"] = bool(found.get("skip_empty")) or (
        not found.get("only")
        and has_rows_without_a_value(table, columns["value"], mapping["empty"])
    )
    unit = unit_of(sample.file, table, columns, preset, said, profile=profile, notes=notes)
    mapping["unit"] = unit
    refuse_grouped_numbers(
        sample, table, columns["value"], values, unit, said=said, profile=profile, notes=notes
    )  # fmt: skip
    mapping |= _times(sample, table, columns["timestamp"], said, found=found, notes=notes)
    try:
        complete = msgspec.convert(
            {field: value for field, value in mapping.items() if value is not None}, Mapping
        )
        check_mapping(complete)
        format_ = detect_format(name, sample.head, complete, sample.as_table())
    except (msgspec.ValidationError, InvalidInput, UnknownFormat) as error:
        raise WrongUsage(f"{name} cannot be read so: {error}") from error
    if isinstance(format_, Mapped | TableFormat) and (told := tell_empty_rows(sample, format_)):
        notes.append(told)
    return Understood(sample, complete, format_, table.form, preset and preset.title, tuple(notes))


def _in_range(table: Table, said: Said, profile: Profile) -> Callable[[str], bool]:
    low, high = profile.range

    def in_range(column: str) -> bool:
        """Whether most of a column's numbers are in the profile's range."""
        unit = said.unit or unit_in_name(column) or profile.unit
        factor, offset = units.conversion(unit, profile.unit) or units.Conversion(1.0)
        texts = (str(cell).replace(",", ".") for cell in table.cells(column))
        found = [_LEADING_NUMBER.match(text) for text in texts]
        inside = [low <= float(number[0]) * factor + offset <= high for number in found if number]
        return sum(inside) * 2 > len(inside)

    return in_range


def _named_column(name: str, table: Table, field: str, column: str) -> str | list[str]:
    """The column that the user names; several are joined by a plus."""
    parts = [column] if column in table.columns else column.split("+")
    exact = []
    for part in parts:
        near = [known for known in table.columns if known.casefold() == part.strip().casefold()]
        if len(near) != 1 and part not in table.columns:
            raise WrongUsage(
                f"{name} has no column {part!r}{' that can be read' * (part in table.unread)} for "
                f"{field}. It has: {listed(table.columns)}."
                f"{table.told_unread}"
            )
        exact.append(part if part in table.columns else near[0])
    return exact


def _simple(names: str | list[str]) -> str | list[str]:
    return names[0] if isinstance(names, list) and len(names) == 1 else names


def _decimal(cells: list[Any]) -> str:
    texts = [cell for cell in cells if isinstance(cell, str)]
    commas = sum("," in text and "." not in text for text in texts)
    points = sum("." in text and "," not in text for text in texts)
    return "," if commas > points else "."


def _times(
    sample: Sample,
    table: Table,
    names: str | list[str],
    said: Said,
    *,
    found: dict[str, Any],
    notes: list[str],
) -> dict[str, Any]:
    """How timestamps are written, and the time zone of their clock."""
    file, cells = sample.file, time_cells(table, names, found.get("only", {}))
    times = understand_times(cells)
    if times is None and said.dates is None:
        refuse_mixed_dates(file, names, cells, said)
        refuse_unknown_times(sample, table, names, cells, said)
    refuse_1970(sample, table, names, cells, said)
    times = times or Times(["iso"], local=True, clock=True, example=_example(cells))
    if said.dates is None:
        refuse_short_years(file, names, cells, said, times.dates)
    dates = said.dates or found.get("dates") or one_way(file, names, times, said)
    if times.deciding and said.dates is None:
        notes.append(
            f"Only {times.deciding!r} says whether the day or the month is first: all other dates "
            f"can be read both ways. If it is a slip, name the other way: "
            f"{said.again(file, dates=times.other)}"
        )
    if not times.local:
        return {"dates": dates, "tz": said.tz}
    if said.tz is None:
        notes.append("Dates without a time are taken as midnight in UTC; --tz names a time zone.")
    return {"dates": dates, "tz": said.tz or "UTC"}


def _example(cells: list[Any]) -> str:
    return repr(str(cells[0])[:40]) if cells else "no text"


def describe(understood: Understood) -> list[str]:
    """How a file is read, as sentences; none for kalmap's own formats."""
    mapping = understood.mapping
    if mapping is None:
        return []
    form = understood.form
    if mapping.decimal == ",":
        form += ", with decimal commas"
    preset = f" ({understood.preset})" if understood.preset else ""
    fields = [
        f"{field} from {' and '.join(mapping.names_of(field))}"
        for field in FIELDS
        if field in mapping.columns
    ]
    fixed = [
        f"{name} {value}"
        for name, value in (
            ("user", mapping.user), ("unit", mapping.unit), ("source", mapping.source),
            ("time zone", mapping.tz),
            ("dates", mapping.dates if mapping.dates != "iso" else None),
        )
        if value is not None
    ]  # fmt: skip
    return [
        f"{understood.sample.file} is {form}{preset}: {', '.join(fields + fixed)}.",
        *understood.notes,
    ]
