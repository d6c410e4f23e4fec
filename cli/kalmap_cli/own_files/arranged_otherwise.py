"""Tables that are arranged otherwise than a reading a row: a sentence has the command for it."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from kalmap.profile import Profile
from kalmap.records.dialects import listed, text_lines, whole_rows
from kalmap_cli.errors import WrongUsage
from kalmap_cli.inputs import typed
from kalmap_cli.own_files.field_columns import each_of
from kalmap_cli.own_files.fields import unit_in_name
from kalmap_cli.own_files.rewriting import rewriting_command
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table
from kalmap_cli.own_files.times import understand_times
from kalmap_cli.profile_tools import suggest

#: Columns that say what a row's value is.
_KINDS = {
    "type", "typ", "tipo", "metric", "kind", "art", "measure", "measurement", "measurement type",
    "parameter", "variable", "quantity", "category", "data type", "datatype", "name", "item",
    "vital", "vital sign", "test", "analyte", "messwert", "messgr\u00f6\u00dfe", "code",
}  # fmt: skip
_MOST_KINDS = 20
#: Columns of a table that has a column for each person, at least.
_LEAST_PERSONS = 2
_CLOCK = re.compile(r"\d{1,2}[:.]\d\d", re.ASCII)
_STONES = re.compile(r"\d{1,2}\s*st(?:one)?s?\.?\s*\d", re.ASCII | re.IGNORECASE)
_MOST = 0.8


def refuse_several_quantities(
    sample: Sample, table: Table, columns: Mapping[str, Any], said: Said, profile: Profile
) -> None:
    """Refuse a table whose rows have several quantities, of which a column has the names.

    Raises:
        WrongUsage: It has. Whoever names the column of values is believed.
    """
    taken = [name for names in columns.values() for name in each_of(names)]
    if "value" in said.columns or table.layout not in {"csv", "jsonl"} or "value" not in columns:
        return
    for column in table.columns:
        if column in taken or suggest.plain(column) not in _KINDS:
            continue
        texts = list(dict.fromkeys(str(cell).strip() for cell in table.cells(column)))
        kinds = [text for text in texts if any(map(str.isalpha, text))]
        if not 1 < len(kinds) <= _MOST_KINDS or not (
            any(suggest.fitting(None, [text]) for text in kinds)
            and len({tuple(suggest.fitting(None, [text])) for text in kinds}) > 1
        ):
            continue
        meant = [text for text in kinds if suggest.is_called(text, profile.name)]
        kind = (meant or kinds)[0]
        raise WrongUsage(
            f"{sample.file}: the rows have several quantities: {column} is one of {listed(kinds)}. "
            f"A batch reads one of them. Take its rows: {_filtered(sample, table, column, kind)} - "
            f"then give one.{table.layout}. Or, if all rows are one quantity: "
            f"{said.again(sample.file, {'value': each_of(columns['value'])[0]})}"
        )


def _filtered(sample: Sample, table: Table, column: str, kind: str) -> str:
    file = typed(sample.file)
    if table.layout == "jsonl":
        script = f"select(.[{json.dumps(column)}] == {json.dumps(kind)})"
        return f"jq -c {shlex.quote(script)} {file} > one.jsonl"
    place, first = table.columns.index(column), table.skip + table.header
    return rewriting_command(
        sample, table.encoding, table.delimiter, "cell", target="one.csv",
        rows=f"row for line, row in enumerate(rows) if line < {first} or "
        f"(len(row) > {place} and row[{place}].strip() == {kind!r})",
    )  # fmt: skip


def refuse_dates_between(sample: Sample, table: Table) -> None:
    """Refuse a table whose dates stand on lines of their own, before the times of that day.

    Raises:
        WrongUsage: It is so. Garmin Connect writes such tables, in many languages.
    """
    if table.layout != "csv" or table.title or not table.header or table.delimiter != ",":
        return
    clocks = table.cells(table.columns[0])
    if not clocks or sum(bool(_CLOCK.match(str(cell))) for cell in clocks) < _MOST * len(clocks):
        return
    lines = text_lines(sample.head, table.encoding)[table.skip + 1 :]
    pairs = whole_rows(lines, table.delimiter, 2)
    dates = [first for first, second in pairs if first and not second]
    if not dates or len(dates) < len(pairs) or understand_times(dates) is None:
        return
    script = (
        f"NR <= {table.skip + 1} {{print; next}} "
        '/^"?[^,]*[0-9][:.][0-9][0-9]/ {if (!sub(/^"/, "\\"" d " ")) $0 = d " " $0; print; next} '
        '{gsub(/"|,? *\\r?$/, ""); gsub(/,/, ""); sub(/^ +/, ""); d = $0}'
    )
    raise WrongUsage(
        f"{sample.file}: dates such as {dates[0]!r} stand on lines of their own. Put each before "
        f"its times: awk {shlex.quote(script)} {typed(sample.file)} > with-dates.csv - then give "
        "with-dates.csv."
    )


def wide_table_advice(
    sample: Sample, table: Table, columns: Mapping[str, Any], values: Sequence[str]
) -> str:
    """What to do if each column of values is a person's; empty if that is not likely."""
    times = each_of(columns.get("timestamp", []))
    others = [name for name in table.columns if name not in times]
    if (
        table.layout != "csv"
        or table.title
        or not table.header
        or not times
        or len(values) < _LEAST_PERSONS
        or others != sorted(values, key=others.index)
        or any(unit_in_name(name) or suggest.fitting(None, [name]) for name in values)
    ):
        return ""
    places = tuple(table.columns.index(name) for name in values)
    at = ' + " " + '.join(f"row[{table.columns.index(name)}]" for name in times)
    command = rewriting_command(
        sample, table.encoding, table.delimiter, "cell", target="long.csv",
        rows=f"row for lines in [list(rows)[{table.skip}:]] for row in "
        f'[["user_id", "timestamp", "value"]] + [[lines[0][n], {at}, row[n]] '
        f"for row in lines[1:] for n in {places} if len(row) > n and row[n].strip()]",
    )  # fmt: skip
    return (
        f" If each of these columns is a person's, write a row for each reading: {command} - then "
        "give long.csv."
    )


def refuse_stones(
    sample: Sample, table: Table, names: str | list[str], cells: Sequence[Any]
) -> None:
    """Refuse values in stones and pounds, such as 12 st 7 lb.

    Raises:
        WrongUsage: They are.
    """
    found = [cell for cell in cells if _STONES.match(str(cell).strip())]
    if not found or table.layout != "csv" or isinstance(names, list):
        return
    change = (
        r're.sub(r"^ *(\d+) *st\w*\.? *([\d.]+).*$", '
        r'lambda m: "%.1f lb" % (14 * int(m[1]) + float(m[2])), cell.replace("st lb", "lb")) '
        f"if n == {table.columns.index(names)} else cell"
    )
    command = rewriting_command(
        sample, table.encoding, table.delimiter, change, target="in-pounds.csv"
    )
    raise WrongUsage(
        f"{sample.file}: {names} has stones and pounds, such as {str(found[0])!r}. Write pounds: "
        f"{command} - then give in-pounds.csv."
    )
