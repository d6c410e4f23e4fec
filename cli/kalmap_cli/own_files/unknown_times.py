"""Times that kalmap does not read: what they seem to be, and a command that writes them anew."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from kalmap.records.clocks import PER_SECOND
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.field_columns import joined
from kalmap_cli.own_files.rewriting import rewriting_command
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table
from kalmap_cli.own_files.times import understand_times

#: Spreadsheets count days from here, such as 46082.29306.
_DAY_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001  a spreadsheet's clock has no zone
_DAYS = re.compile(r"[2-7]\d{4}([.,]\d+)?", re.ASCII)
_WEEKDAY = r"^[^\W\d]{2,},? +|\bat +"
_ZONE = re.compile(r"\d ([A-Z]{2,5})$", re.ASCII)
_OFFSETS = {
    "UTC": "+00:00", "GMT": "+00:00", "WET": "+00:00", "WEST": "+01:00", "CET": "+01:00",
    "CEST": "+02:00", "MEZ": "+01:00", "MESZ": "+02:00", "EET": "+02:00", "EEST": "+03:00",
    "JST": "+09:00", "KST": "+09:00", "EST": "-05:00", "EDT": "-04:00", "CDT": "-05:00",
    "MST": "-07:00", "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00",
}  # fmt: skip
_READ = (
    "kalmap reads, for example, 2026-12-31T07:02+01:00, 31.12.2026 07:02, 12/31/2026 7:02 AM and "
    "Dec 31, 2026 7:02 AM"
)


def refuse_known_times(sample: Sample, table: Table, name: str, cells: Sequence[Any]) -> None:
    """Refuse times of a kind that is known but not read.

    Raises:
        WrongUsage: They are of such a kind. The sentence has a command that writes them anew.
    """
    texts = [str(cell).strip() for cell in cells]
    if not texts:
        return
    example = texts[0][:40]
    if all(map(_DAYS.fullmatch, texts)):
        day = _DAY_ZERO + timedelta(days=float(texts[0].replace(",", ".")))
        what = f"which seems to be a spreadsheet's number of a day ({day:%Y-%m-%d %H:%M})"
        change = (
            "(datetime.datetime(1899, 12, 30) + datetime.timedelta(seconds=round(86400 * "
            'float(cell.replace(",", "."))))).isoformat()'
        )
        advice = "Give the column a format of date and time there, and save the file again"
    elif zones := {found[1] for text in texts if (found := _ZONE.search(text))} - {"AM", "PM"}:
        if not zones <= _OFFSETS.keys():
            return
        change = "cell"
        for zone in sorted(zones):
            change += f'.replace(" {zone}", "{_OFFSETS[zone]}")'
            texts = [text.replace(f" {zone}", _OFFSETS[zone]) for text in texts]
        meant = " and ".join(f"{_OFFSETS[zone]} for {zone}" for zone in sorted(zones))
        what = "which has the name of a zone, not its offset from UTC"
        advice = f"Write offsets; here {meant}"
    else:
        change = f're.sub(r"{_WEEKDAY}", "", cell)'
        changed = [re.sub(_WEEKDAY, "", text) for text in texts]
        if changed == texts:
            return
        texts, what = changed, "which has more words than a date and time"
        advice = "Take them out"
    if not all(map(_DAYS.fullmatch, texts)) and understand_times(texts) is None:
        return
    way = "" if table.layout != "csv" or table.title else _command(sample, table, name, change)
    raise WrongUsage(f"{sample.file}: {name} has {example!r}, {what}. {advice}{way}.")


def refuse_unknown_times(
    sample: Sample, table: Table, names: str | list[str], cells: Sequence[Any], said: Said
) -> None:
    """Refuse times that are not read.

    Raises:
        WrongUsage: Always. The sentence says what was found and what is read.
    """
    if isinstance(names, str):
        refuse_known_times(sample, table, names, cells)
    named = joined(names)
    found = repr(str(cells[0])[:40]) if cells else "no text"
    other = said._replace(columns={**said.columns, "timestamp": "COLUMN"}).again(sample.file)
    raise WrongUsage(
        f"{sample.file}: {named} has {found}, which kalmap does not know as a date and time. "
        f"{_READ}. Write the column so, or, if the times are in another one, name that: {other}"
    )


def refuse_1970(
    sample: Sample, table: Table, names: str | list[str], cells: Sequence[Any], said: Said
) -> None:
    """Refuse numbers as seconds or milliseconds since 1970 that all are in that year.

    Raises:
        WrongUsage: They are.
    """
    if said.dates not in PER_SECOND or not isinstance(names, str):
        return
    try:
        numbers = [float(str(cell).strip()) for cell in cells]
    except ValueError:
        return
    year = 365 * 86_400 * PER_SECOND[said.dates]
    if not numbers or not all(0 <= number < year for number in numbers):
        return
    refuse_known_times(sample, table, names, cells)
    times = understand_times(list(cells))
    better = times.dates[0] if times else None
    advice = (
        f"Say: {said.again(sample.file, dates=better)}"
        if better and better != said.dates
        else f"{_READ}, and numbers that count from 1970. Write the column so."
    )
    raise WrongUsage(
        f"{sample.file}: as {said.dates}, all of {names}, such as {str(cells[0])[:40]!r}, would be "
        f"in the year 1970. {advice}"
    )


def _command(sample: Sample, table: Table, name: str, change: str) -> str:
    place = table.columns.index(name)
    cell = f"{change} if n == {place} and any(map(str.isdigit, cell)) else cell"
    command = rewriting_command(
        sample, table.encoding, table.delimiter, cell, target="with-times.csv"
    )
    return f", or: {command} - then give with-times.csv"
