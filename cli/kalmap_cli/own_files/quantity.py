"""The quantity of a file: its unit, and whether the profile measures such a thing at all."""

import re
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kalmap import units
from kalmap.profile import Profile, builtin_profile
from kalmap_cli.own_files.doubts import refuse_contradiction, refuse_unknown_unit
from kalmap_cli.own_files.field_columns import each_of, joined
from kalmap_cli.own_files.fields import unit_in_name, without_unit
from kalmap_cli.own_files.presets import Preset
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.tables import Table, cells_of
from kalmap_cli.profile_tools import suggest

#: Standard deviations of the population from its mean, from where a median is unlikely.
_FAR = 2.0
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


class Mismatch(NamedTuple):
    """A profile that does not measure what a file has."""

    sentence: str
    profiles: list[str]
    """Built-in ones that do, the likeliest first."""
    unit: str | None = None
    """If the values are in it, the profile fits all the same."""
    others: str = ""
    """Which other series the file has, as a sentence."""

    @property
    def advice(self) -> str:
        """Which profiles there are."""
        if self.profiles:
            return f"Built-in profiles for it: {suggest.listed(self.profiles)}.{self.others}"
        return "No built-in profile measures it; `kalmap profiles new` makes one."


def find_mismatch(
    table: Table,
    columns: Mapping[str, Any],
    preset: Preset | None,
    said: Said,
    *,
    profile: Profile,
) -> Mismatch | None:
    """Whether the profile measures something else than the column of values has."""
    value = columns["value"]
    unit = said.unit or _stated(value, preset)
    names = [without_unit(name) for name in each_of(value)]
    its = units.shown(profile.unit)
    if unit is not None:
        if units.are_alike(unit, profile.unit):
            return None
        where = "--unit" if said.unit else f"the column {joined(value)}"
        fitting = [*(preset.profiles if preset else ()), *suggest.fitting(unit, names)]
        same = [name for name in fitting if units.shown(suggest.unit_of(name)) == units.shown(unit)]
        return Mismatch(
            f"{where} says {unit}, which cannot be converted to {its}, the unit of the profile "
            f"{profile.name}.",
            list(dict.fromkeys(same + fitting)),
            others=_other_series(table, value),
        )
    if "unit" in columns or suggest.is_called(names[0], profile.name):
        return None
    named = suggest.fitting(None, names)
    if not named or any(units.are_alike(suggest.unit_of(name), profile.unit) for name in named):
        return None
    named = sorted(named, key=lambda name: -_inside(table, value, name))
    return Mismatch(
        f"the column {joined(value)} has no unit, and seems to be no {profile.name}.", named, its,
        _other_series(table, value),
    )  # fmt: skip


def _inside(table: Table, value: str | list[str], name: str) -> int:
    """How many values are in the range of a built-in profile."""
    low, high = builtin_profile(name).range
    return sum(low <= number <= high for number in _numbers(table, value))


def _numbers(table: Table, value: str | list[str]) -> list[float]:
    """Values that are plain numbers, without a unit."""
    texts = [str(cell).strip().replace(",", ".") for cell in cells_of(table, value, {})]
    return [float(text) for text in texts if _NUMBER.fullmatch(text)]


def _other_series(table: Table, value: str | list[str]) -> str:
    """A sentence about other columns that a built-in profile is for; empty if there are none."""
    found = []
    for column in table.columns:
        named = suggest.fitting(None, [without_unit(column)])
        if unit := unit_in_name(column):
            named = [
                name for name in suggest.fitting(unit, [without_unit(column)]) if name in named
            ]
        if named and column not in each_of(value):
            found.append(f"{column} (--profile {named[0]})")
    return f" The file also has {', '.join(found)}: each is a run of its own." if found else ""


def unit_of(
    file: Path,
    table: Table,
    columns: Mapping[str, Any],
    preset: Preset | None,
    said: Said,
    *,
    profile: Profile,
    notes: list[str],
) -> str | None:
    """The unit of values that have none of their own; None for the profile's.

    Raises:
        WrongUsage: What the file says about it is not understood, or contradicts what is said.
    """
    value = columns["value"]
    stated = _stated(value, preset)
    refuse_contradiction(file, value, stated, said)
    unit = said.unit or stated
    if stated and isinstance(columns.get("unit"), str):
        found = {units.canonical(str(cell)) for cell in table.cells(columns["unit"])}
        if found and found != {units.canonical(stated)}:
            notes.append(
                f"The name of {joined(value)} says {stated}, and {columns['unit']} has "
                f"{', '.join(sorted(found))}: what is in {columns['unit']} counts."
            )
    if unit is None and table.unit and units.are_alike(table.unit, profile.unit):
        unit = table.unit
    if unit is None and "unit" not in columns:
        refuse_unknown_unit(file, value, said, profile)
        ask = f" {preset.title} does not say the unit." if preset and preset.asks == "unit" else ""
        notes.append(
            f"Values without a unit are taken to be in {units.shown(profile.unit)}, the unit of "
            f"the profile {profile.name}.{ask}{_likelier_unit(table, value, profile)} --unit names "
            "another."
        )
    return unit


def _likelier_unit(table: Table, value: str | list[str], profile: Profile) -> str:
    """A sentence if the profile's population rather has the values in another unit."""
    mean, sd = profile.population.level_mean, profile.population.level_sd
    numbers = _numbers(table, value)
    if mean is None or not sd or not numbers:
        return ""
    middle = statistics.median(numbers)
    far = {
        unit: abs(middle * conversion.factor + conversion.offset - mean) / sd
        for unit in units.KNOWN
        if (conversion := units.conversion(unit, profile.unit))
    }
    best, its = min(far, key=lambda unit: far[unit]), units.canonical(profile.unit)
    if far.get(its, 0.0) < _FAR or far[best] > far[its] - 1.0:
        return ""
    factor, offset = units.conversion(best, profile.unit) or units.Conversion(1.0)
    return (
        f" Their median is {middle:g}: are they in {units.shown(best)}? That would be "
        f"{middle * factor + offset:.4g} {units.shown(profile.unit)}."
    )


def _stated(value: str | list[str], preset: Preset | None) -> str | None:
    """The unit that the file says for all values."""
    named = unit_in_name(value) if isinstance(value, str) else None
    return (preset.mapping.get("unit") if preset else None) or named
