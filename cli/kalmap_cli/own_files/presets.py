"""Presets: how the exports of common programs are read. Each is a JSON file in `presets`.

`has` are columns by which an export is recognised; `{unit}` stands for any text. `with_unit` is a
unit of the kind that it measures, where other kinds look the same. `mapping` is a mapping without
what the file itself shows. `asks` names what the export does not say. `way_out` is for exports that
need a step before. `profiles` are built-in profiles that suit it. With `one_of_several` the export
has several series in one unit, and this one is for profiles whose names begin with one of
`profiles`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from kalmap import units
from kalmap.profile import Profile
from kalmap_cli.profile_tools import suggest

_UNIT = "{unit}"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    has: list[str]
    mapping: dict[str, Any] = {}
    with_unit: str | None = None
    asks: str | None = None
    way_out: str | None = None
    profiles: list[str] = []
    one_of_several: bool = False


class Preset(NamedTuple):
    """A preset that fits a file."""

    title: str
    mapping: dict[str, Any]
    asks: str | None
    way_out: str | None
    profiles: tuple[str, ...] = ()


def find_preset(layout: str, columns: Sequence[str], profile: Profile) -> Preset | None:
    """Find the preset of a file; None if there is none.

    Args:
        layout: Of the file.
        columns: Of the file.
        profile: Its unit, and its name, tell kinds of measurement apart.
    """
    for preset in _presets():
        if (preset.mapping.get("layout", "csv") == "xml") != (layout == "xml"):
            continue
        if preset.with_unit and not units.are_alike(preset.with_unit, profile.unit):
            continue
        if preset.one_of_several and suggest.built_in_of(profile.name) not in preset.profiles:
            continue
        found = _unit(preset.has, columns)
        if found is not None:
            text = json.dumps(preset.mapping).replace(_UNIT, json.dumps(found)[1:-1])
            mapping = json.loads(text)
            return Preset(
                preset.title, mapping, preset.asks, preset.way_out, tuple(preset.profiles)
            )
    return None


def several_series(layout: str, columns: Sequence[str], profile: Profile) -> list[str]:
    """Profiles for the series of an export of which none is known to be meant."""
    return [
        name
        for preset in _presets()
        if preset.one_of_several
        and (preset.mapping.get("layout", "csv") == "xml") == (layout == "xml")
        and preset.with_unit
        and units.are_alike(preset.with_unit, profile.unit)
        and _unit(preset.has, columns) is not None
        for name in preset.profiles
    ]


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
    return sorted(_read(), key=lambda preset: (-len(preset.has), not preset.one_of_several))


def _read() -> Iterator[_File]:
    for file in resources.files(__package__).joinpath("presets").iterdir():
        if file.name.endswith(".json"):
            yield msgspec.json.decode(file.read_bytes(), type=_File)
