"""A profile in plain words: its fields, what it does, and what is doubtful about it."""

from collections.abc import Iterator
from typing import Any

import msgspec

from kalmap import units
from kalmap.filter.parameters import parameters_of
from kalmap.plural import counted
from kalmap.profile import Profile, builtin_profile, builtin_profiles, digest
from kalmap.profile_fields import FIELDS, Field
from kalmap_cli.profile_tools.effects import AGAIN, HISTORY, Effects

_DURATIONS = (("year", 365.0), ("day", 1.0), ("hour", 1.0 / 24.0), ("minute", 1.0 / 1440.0))
_EXACT = 0.95
_NEARLY = 0.03
_LEAST_JUMP = 1.5
#: What is written behind numbers of some units, instead of the unit.
_BEHIND = {"factor": "", "probability": "", "share": "", "1/day": " /day"}


def summary(profile: Profile) -> str:
    """The first sentence of a profile's description."""
    return profile.description.partition(". ")[0].rstrip(".") or "no description"


def field_values(profile: Profile) -> Iterator[tuple[Field, str]]:
    """Each field with its value in words."""
    content = msgspec.to_builtins(profile)
    unit = units.shown(profile.unit)
    for path, field in FIELDS.items():
        value: Any = content
        for part in path.split("."):
            value = None if value is None else value[part]
        if path == "description" or (path == "learning" and value is not None):
            continue
        yield field, _in_words(value, field, unit)


def _in_words(value: Any, field: Field, unit: str) -> str:
    if field.path == "unit":
        return unit
    if value is None or value in ((), [], {}):
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:g}" for name, number in value.items())
    behind = f" {unit}{field.unit[1:]}" if field.unit.startswith("u") else f" {field.unit}"
    behind = _BEHIND.get(field.unit, behind)
    if field.path == "range":
        return f"{value[0]:g} to {value[1]:g}{behind}"
    if isinstance(value, list | tuple):
        return ", ".join(f"{number:g}" for number in value) + behind
    return f"{value:g}{behind}".rstrip() if isinstance(value, int | float) else str(value)


def duration(days: float) -> str:
    """A time in words."""
    for name, size in _DURATIONS:
        if days >= _EXACT * size:
            count = days / size
            if count < 10.0 and abs(count - round(count)) > _NEARLY:
                return f"{count:.1f} {name}s"
            return counted(round(count), name)
    return f"{days * 86400.0:.2g} seconds"


def effect_sentences(profile: Profile, effects: Effects) -> list[str]:
    """What a profile does, as sentences and a table."""
    unit, low, high = units.shown(profile.unit), *profile.range
    source = f" from the source {effects.source}" if effects.source else ""
    user = (
        f"For a user at {effects.level:g} {unit} with {HISTORY} readings{source}, one every "
        f"{_every(effects.every)}, that scatter by measurement_noise:"
    )
    found = [
        f"Readings below {low:g} or above {high:g} {unit} are rejected as out_of_range.",
        _about_first(profile, effects, unit),
        user,
        f"  {'after':<12}{'level known to':>18}  {'a reading is believed up to':>30}",
    ]
    for gap in effects.gaps:
        level = f"± {_short(gap.level, unit)}" if gap.level < high - low else "no better than range"
        believed = "all in the range" if gap.believed is None else f"± {_short(gap.believed, unit)}"
        found.append(f"  {duration(gap.days):<12}{level:>18}  {believed:>30}")
        if gap.believed is None and gap.level >= high - low:
            break
    found.append(_about_jump(profile, effects, unit))
    if effects.forgets is None:
        found.append("No gap of less than 50 years makes kalmap forget a user's level.")
    else:
        new = "a new user's" if profile.population.level_sd is not None else "one anywhere in range"
        found.append(
            f"After a gap of {duration(effects.forgets)} the level is known no better than {new}."
        )
    found.append(
        f"Late readings are sorted in if they are among a user's last {profile.window.readings}, "
        f"and at most {duration(profile.window.days)} older than the newest."
    )
    return [*found, unit_sentence(profile)]


def _about_first(profile: Profile, effects: Effects, unit: str) -> str:
    if profile.population.level_mean is None:
        return "A user's first reading is believed as it stands: there is no population."
    if effects.first is None:
        return "A user's first reading is believed anywhere in the range."
    first, last = effects.first
    return f"A user's first reading is believed from {first:.4g} to {last:.4g} {unit}."


def _about_jump(profile: Profile, effects: Effects, unit: str) -> str:
    jump = f"Where the level really jumps by {_short(effects.jump, unit)}, "
    if profile.faults.share == 0.0:
        return f"{jump}every reading is believed, and the level follows slowly."
    if effects.jump_readings is None:
        return f"{jump}none of the first {AGAIN} readings there is believed."
    if effects.jump_readings == 1:
        return f"{jump}the first reading there is believed."
    return (
        f"{jump}{counted(effects.jump_readings - 1, 'reading')} there "
        f"{'is' if effects.jump_readings == 2 else 'are'} rejected before one is believed."
    )


def unit_sentence(profile: Profile) -> str:
    """Which units readings may have."""
    unit = units.shown(profile.unit)
    if units.is_own(profile.unit):
        return (
            f"{unit} is a unit of the profile's own, which kalmap does not know. Readings may say "
            f"{unit} or no unit; a reading in any other unit is unreadable."
        )
    others = [units.shown(known) for known in units.KNOWN if units.are_alike(known, unit)]
    others.remove(unit)
    mixed = ""
    if parameters_of(profile).wrong_unit == 0.0:
        mixed = " A reading in another unit that does not say so is not recognised as such."
    return f"Readings in {', '.join(others)} are converted to {unit} where they say so.{mixed}"


def doubts(profile: Profile) -> list[str]:
    """What is allowed and seldom meant, as sentences."""
    low, high = profile.range
    noise, unit = profile.measurement_noise, units.shown(profile.unit)
    mean = profile.population.level_mean
    found = []
    if mean is not None and not low <= mean <= high:
        found.append(
            f"population.level_mean is {mean:g}, which is outside of the range, {low:g} to "
            f"{high:g} {unit}."
        )
    if noise > (high - low) / 4.0:
        found.append(
            f"measurement_noise is {noise:g}, more than a quarter of the range: hardly any reading "
            "will be held for wrong."
        )
    if profile.level_noise == profile.slope_noise == profile.slope_prior == 0.0:
        found.append(
            "level_noise, slope_noise and slope_prior are 0: a level never moves, and after many "
            "readings new ones hardly count."
        )
    jump = parameters_of(profile).jump_variance ** 0.5
    if profile.jumps.share > 0.0 and jump < _LEAST_JUMP * noise:
        found.append(
            f"A jump's standard deviation is {jump:.3g}, and measurement_noise is {noise:g}: a "
            "jump and a noisy reading look nearly the same."
        )
    if profile.faults.share == 0.0:
        found.append("faults.share is 0: every reading in the range is believed.")
    if profile.faults.share > 0.2:
        found.append(f"faults.share is {profile.faults.share:g}: more than one in five is wrong?")
    if profile.window.readings < 3:
        found.append(
            f"window.readings is {profile.window.readings}: a late reading is hardly ever sorted "
            "in."
        )
    if profile.name in builtin_profiles() and digest(profile) != digest(
        builtin_profile(profile.name)
    ):
        found.append(
            f"The built-in profile {profile.name} has the same name and other numbers. States "
            "belong to a name, so those of one are refused under the other. Give this one another "
            "name."
        )
    return found


def _short(value: float, unit: str) -> str:
    return f"{value:.2g} {unit}" if value < 100.0 else f"{value:,.0f} {unit}"


def _every(days: float) -> str:
    words = duration(days)
    return words.removeprefix("1 ")
