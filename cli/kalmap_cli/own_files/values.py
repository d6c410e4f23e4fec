"""Values: numbers that may have separators of thousands."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kalmap import units
from kalmap.profile import Profile
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.doubts import joined
from kalmap_cli.own_files.said import Said

#: Such as 1,234 or 12.345.678: each mark has three digits behind it.
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:([.,' ])\d{3})(?:\1\d{3})*", re.ASCII)
_SEVERAL = re.compile(r"[-+]?\d{1,3}(?:([.,])\d{3}){2,}", re.ASCII)
_MARKED = re.compile(r"\d[.,]\d", re.ASCII)


def refuse_grouped_numbers(
    file: Path, names: str | list[str], cells: Sequence[Any], unit: str | None, *,
    delimiter: str, said: Said, profile: Profile,
) -> None:  # fmt: skip
    """Refuse numbers that may have separators of thousands.

    A mark with three digits behind it, in every number that has one, may be either. If only one
    reading of it is in the profile's range, that one is meant.

    Raises:
        WrongUsage: They have them, or may have them.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str)]
    marked = [text for text in texts if _MARKED.search(text) or _GROUPED.fullmatch(text)]
    if not marked or not all(_GROUPED.fullmatch(text) for text in marked):
        return
    example = marked[0]
    mark = next(char for char in example if char in ".,' ")
    certain = mark in "' " or any(_SEVERAL.fullmatch(text) for text in marked)
    whole = [float(re.sub(r"[.,' ]", "", text)) for text in marked]
    parts = [float(text.replace(",", ".")) for text in marked] if not certain else []
    as_whole, as_parts = (_inside(each, unit, profile) for each in (whole, parts))
    if not certain and ("value" in said.columns or as_parts > as_whole):
        return
    name = joined(names)
    advice = _taken_out(file, mark, delimiter)
    if certain or as_whole > as_parts:
        raise WrongUsage(
            f"{file}: {name} has {example!r}, with a separator of thousands. kalmap reads numbers "
            f"without it. {advice}"
        )
    raise WrongUsage(
        f"{file}: {name} has {example!r}. Is it {whole[0]:g} with a separator of thousands, or "
        f"{parts[0]:g}? If the second: {said.again(file, {'value': name})} - if the first: {advice}"
    )


def _taken_out(file: Path, mark: str, delimiter: str) -> str:
    """How separators are taken out of a file."""
    if mark == delimiter:
        return "Save the file with numbers that have none, such as by the spreadsheet's format."
    script = rf"s/([0-9])[{mark}]([0-9]{{3}})/\1\2/"
    # Again and again, as 1.234.567 has two.
    return (
        f"Take it out, if no other column has such marks: sed -E -e :a -e {shlex.quote(script)} "
        f"-e ta {shlex.quote(str(file))} > without.csv - then give without.csv."
    )


def _inside(values: Sequence[float], unit: str | None, profile: Profile) -> int:
    """How many values are in the profile's range."""
    factor, offset = units.conversion(unit or profile.unit, profile.unit) or units.Conversion(1.0)
    low, high = profile.range
    return sum(low <= value * factor + offset <= high for value in values)
