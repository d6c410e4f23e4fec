"""Presets: how the exports of common programs are read. Each is a JSON file in `presets`.

`has` are columns by which an export is recognised; `{unit}` stands for any text. `with_unit` is a
unit of the kind that it measures, where other kinds look the same. `mapping` is a mapping without
what the file itself shows. `asks` names what the export does not say. `way_out` is for exports that
need a step before.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from kalmap import units

_UNIT = "{unit}"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    has: list[str]
    mapping: dict[str, Any] = {}
    with_unit: str | None = None
    asks: str | None = None
    way_out: str | None = None


class Preset(NamedTuple):
    """A preset that fits a file."""

    title: str
    mapping: dict[str, Any]
    asks: str | None
    way_out: str | None


def find_preset(layout: str, columns: Sequence[str], profile_unit: str) -> Preset | None:
    """Find the preset of a file; None if there is none.

    Args:
        layout: Of the file.
        columns: Of the file.
        profile_unit: Tells kinds of measurement apart.
    """
    for preset in _presets():
        if (preset.mapping.get("layout", "csv") == "xml") != (layout == "xml"):
            continue
        if preset.with_unit and not units.are_alike(preset.with_unit, profile_unit):
            continue
        found = _unit(preset.has, columns)
        if found is not None:
            text = json.dumps(preset.mapping).replace(_UNIT, json.dumps(found)[1:-1])
            return Preset(preset.title, json.loads(text), preset.asks, preset.way_out)
    return None


def _unit(wanted: Sequence[str], columns: Sequence[str]) -> str | None:
    """The unit in the columns' names, or "" if they have none; None if a column is missing."""
    unit = ""
    for name in wanted:
        before, is_open, after = name.partition(_UNIT)
        pattern = re.escape(before) + ("(.{1,12})" + re.escape(after) if is_open else "()")
        matches = (re.fullmatch(pattern, column) for column in columns)
        found = next((match[1] for match in matches if match), None)
        if found is None or (unit and found and found != unit):
            return None
        unit = unit or found
    return unit


@cache
def _presets() -> list[_File]:
    return sorted(_read(), key=lambda preset: -len(preset.has))


def _read() -> Iterator[_File]:
    for file in resources.files(__package__).joinpath("presets").iterdir():
        if file.name.endswith(".json"):
            yield msgspec.json.decode(file.read_bytes(), type=_File)
