"""Doubts: what a file states and a mapping would ignore. Each is asked for in a sentence."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kalmap import units
from kalmap.profile import Profile
from kalmap.records.dialects import listed, text_lines, whole_rows
from kalmap_cli.errors import WrongUsage
from kalmap_cli.inputs import typed
from kalmap_cli.own_files.field_columns import as_typed, each_of, joined
from kalmap_cli.own_files.fields import unit_in_name, user_columns
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table
from kalmap_cli.own_files.times import Times, find_mixed_dates
from kalmap_cli.profile_tools import suggest

_IN_BRACKETS = re.compile(r"[(\[]\s*([^)\]]+?)\s*[)\]]")
_WORDS = re.compile(r"[^\W\d_]+")
#: Where a word begins in such as WeightLbs.
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_ENDS = ("lbs", "pounds", "kg")
#: Units that are also other words.
_OTHER_WORDS = {"in", "st", "m", "g", "c", "f"}
_WHOLE_NUMBER = re.compile(r"\d{1,4}", re.ASCII)
_DECIMALS = re.compile(r"\d{1,2}", re.ASCII)
_NOTES = {
    "notiz", "notizen", "note", "notes", "kommentar", "kommentare", "comment", "comments",
    "bemerkung", "bemerkungen", "anmerkung", "anmerkungen", "remark", "remarks", "nota", "notas",
    "commentaire", "text", "opmerking", "opmerkingen", "uwagi", "poznámka", "poznámky",
    "observação",
    "observações", "observaciones", "osservazioni", "anteckning", "anteckningar", "bemærkning",
    "bemærkninger", "merknad", "muistiinpano", "примечание", "заметка", "not", "notlar",
    "备注", "備考",
    "メモ", "메모", "memo", "description", "beschreibung", "details",
}  # fmt: skip
_PAIR = re.compile(r"\d{2,3}\s*/\s*\d{2,3}", re.ASCII)
_SHORT_DATE = re.compile(r"(\d\d)([./-])(\d\d)\2(\d\d)(?!\d)", re.ASCII)
_MOST = 0.8


def refuse_carriage_returns(sample: Sample) -> None:
    """Refuse a text whose lines end in carriage returns alone.

    Raises:
        WrongUsage: They do.
    """
    head = sample.head
    if b"\r" in head and b"\n" not in head and b"\0" not in head:
        raise WrongUsage(
            f"{sample.file}: its lines end in carriage returns alone. End them with line feeds: "
            f"tr '\\r' '\\n' < {typed(sample.file)} > lines.csv - then give lines.csv."
        )


def refuse_wide_rows(sample: Sample, table: Table) -> None:
    """Refuse a table whose rows have more cells than its header.

    Raises:
        WrongUsage: They have.
    """
    if table.layout != "csv" or table.header or not table.skip:
        return
    lines = text_lines(sample.head, table.encoding)
    line, width = lines[table.skip - 1], len(table.columns)
    header = next(
        (rows[0] for n in range(2, width) if (rows := whole_rows([line], table.delimiter, n))), []
    )
    if not header or not all(_WORDS.search(name) for name in header):
        return
    advice = "Give each row as many cells as the header has."
    places = [n for n in range(width - 1) if table.delimiter == "," and _is_cut(table, n)]
    if places:
        advice = f"Commas in numbers separate columns here too. {_mended(sample.file, places[0])}"
    raise WrongUsage(
        f"{sample.file}: the header has {len(header)} columns, {listed(header)}, but most rows "
        f"have {width} cells. {advice}"
    )


def refuse_columns_of_one_name(file: Path, table: Table, names: Sequence[str]) -> None:
    """Refuse a column that is needed if another has the same name.

    Raises:
        WrongUsage: One has.
    """
    for name in names:
        if (count := table.columns.count(name)) > 1:
            raise WrongUsage(
                f"{file}: {count} columns are called {name}. Give each a name of its own in line "
                f"{table.skip + 1} of the file, the header, and say which is meant."
            )


def refuse_cut_numbers(file: Path, table: Table, names: str | list[str], said: Said) -> None:
    """Refuse values whose decimals seem to stand in the column of notes behind them.

    Raises:
        WrongUsage: They seem to.
    """
    if isinstance(names, list) or "value" in said.columns:
        return
    if table.layout != "csv" or table.delimiter != "," or not table.header:
        return
    place = table.columns.index(names)
    if not _is_cut(table, place) or table.columns[place + 1].strip().casefold() not in _NOTES:
        return
    cells = ",".join(str(cell) for cell in table.rows[0][place : place + 2])
    raise WrongUsage(
        f"{file}: {names} has whole numbers only, and {table.columns[place + 1]} behind it has "
        f"numbers of one or two digits only. Is {cells} one number with a decimal comma? "
        f"{_mended(file, place, ',')} If it is not: {said.again(file, {'value': names})}"
    )


def cut_number_advice(file: Path, table: Table, values: Sequence[str]) -> str:
    """What to do if two columns of numbers are the two parts of one; empty if they cannot be."""
    if table.layout == "csv" and table.delimiter == ",":
        with_unit = [name for name in values if unit_in_name(name)]
        for value in (with_unit or values)[:-1]:
            place = table.columns.index(value)
            names = table.columns[place : place + 2]
            if any(unit_in_name(n) or suggest.fitting(None, [n]) for n in names[1:]):
                # It is a quantity of its own.
                continue
            if _is_cut(table, place) and names[-1] in values:
                return (
                    f" If {value} and {table.columns[place + 1]} are one number with a decimal "
                    f"comma, do not. {_mended(file, place, ',' if table.header else '')}"
                )
    return ""


def _is_cut(table: Table, place: int) -> bool:
    """Whether a column and the next may be the two parts of a number with a decimal comma."""
    rows = [row for row in table.rows if row[place] not in (None, "")]
    if place + 1 >= len(table.columns) or not rows:
        return False
    behind = [str(row[place + 1]) for row in rows if row[place + 1] not in (None, "")]
    return (
        len(behind) >= _MOST * len(rows)
        and all(_WHOLE_NUMBER.fullmatch(str(row[place])) for row in rows)
        and all(map(_DECIMALS.fullmatch, behind))
    )


def _mended(file: Path, place: int, filler: str = "") -> str:
    script = rf"s/^(([^,]*,){{{place}}}[0-9]+),([0-9]{{1,2}})(,|\r?$)/\1.\3{filler}\4/"
    return (
        f"Write decimal points: sed -E {shlex.quote(script)} {typed(file)} > "
        "with-points.csv - then give with-points.csv."
    )


def refuse_two_numbers(file: Path, table: Table) -> None:
    """Refuse cells with two numbers, such as 120/80.

    Raises:
        WrongUsage: A column has them.
    """
    for place, name in enumerate(table.columns):
        cells = table.cells(name)
        pairs = [cell for cell in cells if _PAIR.fullmatch(str(cell).strip())]
        if not pairs or len(pairs) < _MOST * len(cells):
            continue
        advice = "Put its parts into two columns."
        if table.layout == "csv":
            mark = table.delimiter
            rows = rf"s#^(([^{mark}]*{mark}){{{place}}}\"?[0-9]+) */ *([0-9]+)#\1{mark}\3#"
            header = f"1s#{re.escape(name)}#Systolic{mark}Diastolic#"
            advice = (
                f"Put its parts into two columns: sed -E -e {shlex.quote(header)} -e "
                f"{shlex.quote(rows)} {shlex.quote(str(file))} > two.csv - then give two.csv, once "
                "with --profile blood-pressure-systolic, once with blood-pressure-diastolic."
            )
        raise WrongUsage(
            f"{file}: {name} has two numbers in a cell, such as {pairs[0]!r}. A reading is one "
            f"number. {advice}"
        )


def refuse_several_users(file: Path, table: Table, said: Said) -> None:
    """Refuse one user for a file that names several.

    Raises:
        WrongUsage: It names several.
    """
    if said.user is None:
        return
    named = [said.columns["user_id"]] if "user_id" in said.columns else user_columns(table)
    for column in named:
        known = [name for name in table.columns if name.casefold() == column.casefold()]
        found = list(dict.fromkeys(str(cell) for name in known for cell in table.cells(name)))
        if len(found) > 1:
            several = said._replace(user=None).again(file, {"user_id": known[0]})
            raise WrongUsage(
                f"{file}: --user says that all rows are {said.user}'s, but {known[0]} has "
                f"{listed(found[:3])}{', …' if len(found) > 3 else ''}. Read the users from it: "
                f"{several} - or, if the rows are one person's, remove this column first."
            )


def unit_column(table: Table, value: str | list[str], profile: Profile) -> str | None:
    """A column of units, such as Weight unit; None if there is none."""
    found = []
    for column in table.columns:
        name = column.replace("_", " ").strip().casefold()
        texts = {str(cell).strip() for cell in table.cells(column)}
        cells = {units.canonical(text) for text in texts}
        are_units = min(map(len, texts), default=0) > 1 and all(
            cell in units.KNOWN and units.are_alike(cell, profile.unit) for cell in cells
        )
        if not cells or not (are_units or name.endswith((" unit", " units", "einheit"))):
            continue
        # Such as centimetres of a height.
        if not all(cell in units.KNOWN and not units.are_alike(cell, profile.unit)
                   for cell in cells):  # fmt: skip
            found.append(column)
    names = each_of(value)
    first_words = {words[0].casefold() for name in names if (words := _WORDS.findall(name))}
    near = [name for name in found if name.casefold().startswith(tuple(first_words))]
    return next(iter(near or found), None)


def refuse_unknown_unit(file: Path, names: str | list[str], said: Said, profile: Profile) -> None:
    """Refuse a column whose name has a unit that is not understood.

    Raises:
        WrongUsage: It has.
    """
    for name in each_of(names):
        if unit_in_name(name) is not None:
            continue
        stated = [text for text in _IN_BRACKETS.findall(name)
                  if units.canonical(text) != units.canonical(profile.unit)]  # fmt: skip
        words = [word for word in _WORDS.findall(_HUMP.sub(" ", name))
                 if word.casefold().endswith(_ENDS) or (
                     units.canonical(word) in units.KNOWN
                     and word.casefold() not in _OTHER_WORDS)]  # fmt: skip
        if stated or words:
            what = f"{' and '.join(words)}, which may be the unit"
            if stated:
                what = f"{stated[0]!r}, which is no unit that kalmap knows"
            raise WrongUsage(
                f"{file}: the name of the column {name} has {what}. Name the unit of its values "
                f"(kalmap knows {', '.join(map(units.shown, _units_like(profile.unit)))}): "
                f"{said.again(file, unit='UNIT')} - or, if they are no {profile.name}, make a "
                "profile for them: kalmap profiles new"
            )


def _units_like(unit: str) -> Sequence[str]:
    return [known for known in units.KNOWN if units.are_alike(known, unit)] or [unit]


def refuse_contradiction(
    file: Path, names: str | list[str], stated: str | None, said: Said
) -> None:
    """Refuse a unit that is not the one in the column's name.

    Raises:
        WrongUsage: It is another.
    """
    if said.unit and stated and units.canonical(said.unit) != units.canonical(stated):
        name = joined(names)
        raise WrongUsage(
            f"{file}: --unit says {said.unit}, but the column {name} says {stated}. Leave --unit "
            f"out: {said._replace(unit=None).again(file)} - or, if the column's name is wrong, "
            "correct it in the file."
        )


def refuse_short_years(
    file: Path, names: str | list[str], cells: Sequence[Any], said: Said, ways: Sequence[str]
) -> None:
    """Refuse dates whose first number may be a year of two digits.

    Raises:
        WrongUsage: It may be.
    """
    found = [_SHORT_DATE.match(str(cell).strip()) for cell in cells]
    dates = [match for match in found if match]
    if ways[0] not in {"day_first", "month_first"} or len(dates) < _MOST * len(found):
        return
    days = {int(match[4]) for match in dates}
    firsts = {match[1] for match in dates}
    exist = all(1 <= int(match[3]) <= 12 for match in dates) and days <= set(range(1, 32))
    # Days vary more than years do. One date tells nothing.
    if not exist or (len(days) < max(2, len(firsts)) and len(set(map(str, cells))) > 1):
        return
    mark = dates[0][2]
    date = rf"[0-9]{{2}}[{mark}][0-9]{{2}}[{mark}][0-9]{{2}}"
    script = rf"s#(^|[^0-9])({date})#\120\2#"
    name = joined(names)
    raise WrongUsage(
        f"{file}: in {name}, such as {str(cells[0])[:40]!r}, the first number may be a year of two "
        f"digits. If it is, write four: sed -E {shlex.quote(script)} {typed(file)} > "
        "with-years.csv - then give with-years.csv. If the last number is the year: "
        f"{' - or: '.join(said.again(file, dates=way) for way in ways)}"
    )


def refuse_mixed_dates(
    file: Path, names: str | list[str], cells: Sequence[Any], said: Said
) -> None:
    """Refuse dates of which some have the day first and others the month.

    Raises:
        WrongUsage: They are mixed so.
    """
    mixed = find_mixed_dates(cells) if said.dates is None else None
    if mixed:
        name = as_typed(names)
        first, second = (
            said.again(file, {"timestamp": name}, dates=way) for way in ("day_first", "month_first")
        )
        raise WrongUsage(
            f"{file}: {name} has {mixed[0]!r}, where only the day can be first, and {mixed[1]!r}, "
            "where only the month can. Write all dates alike. To read all of them one way, and "
            f"the others wrongly or not at all: {first} - or: {second}"
        )


def one_way(file: Path, names: str | list[str], times: Times, said: Said) -> str:
    """The one way in which dates are written.

    Raises:
        WrongUsage: There are two.
    """
    if len(times.dates) == 1:
        return times.dates[0]
    first, second = (said.again(file, dates=way) for way in times.dates[:2])
    raise WrongUsage(
        f"{file}: in {joined(names)}, such as {times.example!r}, the first number may be the day "
        f"or the month. Say which: {first} - or: {second}"
    )
