"""Values: numbers that may have separators of thousands."""

import re
from collections.abc import Sequence
from typing import Any

from kalmap import units
from kalmap.profile import Profile
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.field_columns import each_of, joined
from kalmap_cli.own_files.rewriting import rewriting_command
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table

#: What separates thousands; among them blanks that do not break a line, and narrow ones.
_MARKS = ".,'\u2019 \u00a0\u2009\u202f"
#: Such as 1,234 or 12.345.678: each mark has three digits behind it.
_GROUPED = re.compile(rf"[-+]?\d{{1,3}}(?:([{_MARKS}])\d{{3}})(?:\1\d{{3}})*", re.ASCII)
#: Such as 1,234.5 or 1 234,5.
_WITH_DECIMALS = re.compile(
    rf"[-+]?\d{{1,3}}(?:([{_MARKS}])\d{{3}})(?:\1\d{{3}})*(?!\1)[.,]\d+", re.ASCII
)
_SEVERAL = re.compile(r"[-+]?\d{1,3}(?:([.,])\d{3}){2,}", re.ASCII)
_MARKED = re.compile(r"\d[.,]\d", re.ASCII)


def refuse_grouped_numbers(
    sample: Sample, table: Table, names: str | list[str], cells: Sequence[Any], unit: str | None,
    *, said: Said, profile: Profile, notes: list[str],
) -> None:  # fmt: skip
    """Refuse numbers that may have separators of thousands.

    A mark with three digits behind it, in every number that has one, may be either. If it is a
    decimal mark by the profile's range alone, that is told; else it is asked for.

    Raises:
        WrongUsage: They have them, or may have them.
    """
    file = sample.file
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    name = joined(names)
    for text in texts:
        if found := _WITH_DECIMALS.fullmatch(text):
            raise _certain(sample, table, names, text, found[1])
    marked = [text for text in texts if _MARKED.search(text) or _GROUPED.fullmatch(text)]
    if not marked or not all(_GROUPED.fullmatch(text) for text in marked):
        return
    example = marked[0]
    mark = next(char for char in example if char in _MARKS)
    several = any(_SEVERAL.fullmatch(text) for text in marked)
    certain = mark not in ".," or several or said.decimal not in {None, mark}
    if said.decimal == mark and not several:
        return
    whole = [float(re.sub(f"[{_MARKS}]", "", text)) for text in marked]
    parts = [float(text.replace(",", ".")) for text in marked] if not certain else []
    as_whole, as_parts = (_inside(each, unit, profile) for each in (whole, parts))
    if as_parts * 2 > len(marked) and not as_whole:
        low, high = profile.range
        notes.append(
            f"In {name}, {example!r} is taken as {parts[0]:g}: as {whole[0]:g} it would be outside "
            f"of {low:g} to {high:g} {units.shown(profile.unit)}, the range of {profile.name}."
        )
        return
    if certain or (as_whole * 2 > len(marked) and not as_parts):
        raise _certain(sample, table, names, example, mark)
    advice = _taken_out(sample, table, names, mark)
    column = {"value": names} if isinstance(names, str) else {}
    raise WrongUsage(
        f"{file}: {name} has {example!r}. Is it {whole[0]:g} with a separator of thousands, or "
        f"{parts[0]:g}? If the second: {said.again(file, column, decimal=mark)} - if the first: "
        f"{advice[0].lower()}{advice[1:]}"
    )


def _certain(
    sample: Sample, table: Table, names: str | list[str], example: str, mark: str
) -> WrongUsage:
    return WrongUsage(
        f"{sample.file}: {joined(names)} has {example!r}, with a separator of thousands. kalmap "
        f"reads numbers without it. {_taken_out(sample, table, names, mark)}"
    )


def _taken_out(sample: Sample, table: Table, names: str | list[str], mark: str) -> str:
    """How separators are taken out of a file."""
    if table.layout != "csv" or table.title:
        return "Write the numbers without it."
    places = {table.columns.index(name) for name in each_of(names)}
    column = " or ".join(f"n == {place}" for place in sorted(places))
    taken_out = mark.encode("unicode_escape").decode()
    cell = (
        f'cell.replace("{taken_out}", "") if ({column}) and '
        'cell.strip().strip("+-")[:1].isdigit() else cell'
    )
    command = rewriting_command(sample, table.encoding, table.delimiter, cell, target="without.csv")
    return f"Take it out: {command} - then give without.csv."


def _inside(values: Sequence[float], unit: str | None, profile: Profile) -> int:
    """How many values are in the profile's range."""
    factor, offset = units.conversion(unit or profile.unit, profile.unit) or units.Conversion(1.0)
    low, high = profile.range
    return sum(low <= value * factor + offset <= high for value in values)
