"""A profile: the state model and the policy for one kind of measurement, as validated data.

`profile_fields` says what each field is; here a profile is read, checked and identified.
"""

import hashlib
import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from kalmap import units
from kalmap.errors import InvalidProfile
from kalmap.profile_fields import (
    FIELDS,
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_SOURCE_NAME,
    MAX_UNIT,
    MAX_WINDOW_DAYS,
    MAX_WINDOW_READINGS,
    MULTIPLIERS,
    NAME_PATTERN,
    UNKNOWN_SOURCE,
    Faults,
    Jumps,
    NoiseLearning,
    Population,
    Profile,
    Rhythm,
    Window,
)

__all__ = [
    "DEFAULT_PROFILE", "MAX_DESCRIPTION", "MAX_NAME", "MAX_SOURCE_NAME", "MAX_UNIT",
    "MAX_WINDOW_DAYS", "MAX_WINDOW_READINGS", "MULTIPLIERS", "Faults", "Jumps", "NoiseLearning",
    "Population", "Profile", "Rhythm", "Window", "builtin_profile", "builtin_profiles", "digest",
    "load_profile",
]  # fmt: skip

#: The built-in profile that is used if none is named.
DEFAULT_PROFILE = "body-weight"
#: Where an editor finds the schema of profiles; it says nothing about the profile.
SCHEMA = "$schema"
#: Fields of profiles written for kalmap 0.1, whose filter had a gate. They are read and not used.
FORMER = ("gate", "rate_limit", "recovery", "quality")
_NAME = re.compile(NAME_PATTERN)
_BYTE = re.compile(r"\(byte (\d+)\)")
_BOM = b"\xef\xbb\xbf"
_TOP = tuple(Profile.__struct_fields__)
_REQUIRED = tuple(path for path, field in FIELDS.items() if field.is_required)
#: Fields that are one number.
_NUMBERS = tuple(
    path for path, field in FIELDS.items()
    if field.unit and "." not in path and path not in {"range", "sources", "biases"}
)  # fmt: skip


def load_profile(data: bytes | Mapping[str, Any]) -> Profile:
    """Read and check a profile, from its JSON bytes or from the mapping in them.

    Raises:
        InvalidProfile: The message names the field, its value and the allowed values.
    """
    if isinstance(data, bytes | bytearray):
        data = _decoded(bytes(data))
    if not isinstance(data, Mapping):
        raise InvalidProfile(f"A profile is a JSON object of named fields, not {_shown(data)}.")
    try:
        msgspec.json.encode(data)
    except (ValueError, TypeError, RecursionError):
        # Some JSON readers accept half of a surrogate pair, which has no UTF-8.
        raise InvalidProfile("The profile holds something that has no form in JSON.") from None
    if not isinstance(data.get(SCHEMA, ""), str):
        raise InvalidProfile(
            f"Profile field '{SCHEMA}' is {_shown(data[SCHEMA])}; it must be a text: where an "
            "editor finds the schema."
        )
    fields = {name: value for name, value in data.items() if name not in {*FORMER, SCHEMA}}
    _check_known(fields, _TOP, "")
    for field in _REQUIRED:
        if field not in fields:
            raise InvalidProfile(f"The profile has no field {field!r}; it is required.")
    _check_texts(fields)
    _check_range(fields)
    for field in _NUMBERS:
        if field in fields:
            fields[field] = _number(field, fields[field])
    fields["sources"] = _sources(fields.get("sources", {}))
    fields["window"] = Window(**_section("window", fields.get("window", {}), Window))
    fields["biases"] = _biases(fields.get("biases", {}), fields["sources"])
    fields["rhythm"] = _rhythm(fields.get("rhythm", {}))
    fields["population"] = _population(fields.get("population", {}))
    fields["faults"] = Faults(**_section("faults", fields.get("faults", {}), Faults))
    fields["jumps"] = Jumps(**_section("jumps", fields.get("jumps", {}), Jumps))
    if fields.get("learning", {}) is not None:
        learning = _section("learning", fields.get("learning", {}), NoiseLearning)
        fields["learning"] = NoiseLearning(**learning)
    return Profile(**fields)


def builtin_profiles() -> list[str]:
    """The names of the profiles that come with kalmap."""
    return list(_builtin_names())


@cache
def _builtin_names() -> tuple[str, ...]:
    files = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".json") for name in files if name.endswith(".json")))


@cache
def builtin_profile(name: str) -> Profile:
    """The profile that comes with kalmap under this name. Only its own file is read, and only once.

    Raises:
        InvalidProfile: There is none. The message lists the built-in profiles.
    """
    names = _builtin_names()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f" Is {near[0]} meant?" if near else ""
        raise InvalidProfile(
            f"There is no built-in profile {_shown(name)}; there are: {', '.join(names)}.{hint}"
        )
    return load_profile(_folder().joinpath(f"{name}.json").read_bytes())


def _folder() -> Any:
    return resources.files("kalmap").joinpath("profiles")


def _decoded(data: bytes) -> Any:
    data = data.removeprefix(_BOM)
    if not data.strip():
        raise InvalidProfile(
            "The profile is no JSON: it is empty. `kalmap profiles new` makes one."
        )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidProfile("The profile is not valid JSON: it is UTF-16. Save it as UTF-8.")
    try:
        return msgspec.json.decode(data)
    except UnicodeDecodeError:
        raise InvalidProfile("The profile is not valid JSON: it is not UTF-8 text.") from None
    except msgspec.DecodeError as error:
        message = str(error)
        if found := _BYTE.search(message):
            before = data[: int(found[1])]
            place = f"line {before.count(10) + 1}, column {len(before) - before.rfind(10)}"
            message = message.replace(found[0], f"({place})")
        raise InvalidProfile(
            f"The profile is not valid JSON: {message.rstrip('.')}. Names and texts stand in "
            "double quotes; comments are not allowed, nor a comma before a closing bracket."
        ) from None


def digest(profile: Profile) -> bytes:
    """Eight bytes that identify a profile without its description and its unit's braces.

    Every state stores them, because a state folded under other numbers is another state.
    """
    unit = units.canonical(profile.unit)
    content = msgspec.structs.replace(profile, description="", unit=unit)
    canonical = msgspec.json.encode(content, order="sorted")
    return hashlib.blake2b(canonical, digest_size=8).digest()


def _shown(value: object) -> str:
    """A value as text for an error message, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_known(fields: Mapping[str, Any], allowed: tuple[str, ...], prefix: str) -> None:
    for field in fields:
        if field not in allowed:
            names = ", ".join(allowed)
            name = _shown(f"{prefix}{field}")
            near = get_close_matches(str(field), allowed, n=1)
            hint = f" Is {near[0]} meant?" if near else ""
            message = f"The profile has an unknown field {name}; known are: {names}.{hint}"
            raise InvalidProfile(message)


def _number(field: str, value: object, within: str = "") -> float | int:
    """A number, checked against the bounds of `within`, which is `field` if it is not given."""
    described = FIELDS[within or field]
    low, high = described.bounds
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        if not described.is_whole:
            return float(value)
        if value == int(value):
            return int(value)
    kind = "a whole number" if described.is_whole else "a number"
    raise InvalidProfile(
        f"Profile field {field!r} is {_shown(value)}; it must be {kind} from {low:g} to {high:g}."
    )


def _section(field: str, value: object, struct: type[msgspec.Struct]) -> dict[str, Any]:
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if not isinstance(value, Mapping):
        raise InvalidProfile(f"Profile field {field!r} is {_shown(value)}; it must be an object.")
    _check_known(value, struct.__struct_fields__, f"{field}.")
    # JSON's null stands for a number that is not given.
    return {
        key: _number(f"{field}.{key}", number)
        for key, number in value.items()
        if number is not None
    }


def _population(value: object) -> Population:
    population = Population(**_section("population", value, Population))
    if (population.level_mean is None) != (population.level_sd is None):
        missing = "level_mean" if population.level_mean is None else "level_sd"
        raise InvalidProfile(
            f"Profile field 'population' has no {missing!r}; level_mean and level_sd are given "
            "together or not at all."
        )
    return population


def _check_texts(fields: dict[str, Any]) -> None:
    name = fields["name"]
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or not _NAME.fullmatch(name):
        raise InvalidProfile(
            f"Profile field 'name' is {_shown(name)}; it must be 1 to {MAX_NAME} lower-case "
            "letters, digits, '-', '_' or '.'."
        )
    fields["unit"] = _unit(fields["unit"])
    description = fields.get("description", "")
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
        raise InvalidProfile(
            f"Profile field 'description' is {_shown(description)}; it must be a text of at most "
            f"{MAX_DESCRIPTION:,} characters."
        )


def _unit(value: object) -> str:
    name = units.canonical(value) if isinstance(value, str) else ""
    if name in units.KNOWN:
        return name
    if not isinstance(value, str) or not 1 <= len(name) <= MAX_UNIT or not name.isprintable():
        raise InvalidProfile(
            f"Profile field 'unit' is {_shown(value)}; it must be a text of 1 to {MAX_UNIT} "
            "printable characters."
        )
    if not units.is_own(value.strip()):
        known = ", ".join(map(units.shown, units.KNOWN))
        raise InvalidProfile(
            f"Profile field 'unit' is {_shown(value)}, which is none of {known}. A unit of your "
            f"own, which is never converted, stands in braces: {_shown('{' + name + '}')}."
        )
    return "{" + name + "}"


def _check_range(fields: dict[str, Any]) -> None:
    value = fields["range"]
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidProfile(
            f"Profile field 'range' is {_shown(value)}; it must be two numbers, lowest and highest."
        )
    low, high = (float(_number(f"range[{index}]", end, "range")) for index, end in enumerate(value))
    if not low < high:
        raise InvalidProfile(
            f"Profile field 'range' is {_shown(value)}; the first must be below the second."
        )
    fields["range"] = (low, high)


def _sources(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InvalidProfile(f"Profile field 'sources' is {_shown(value)}; it must be an object.")
    if len(value) >= UNKNOWN_SOURCE:
        raise InvalidProfile(
            f"Profile field 'sources' lists {len(value)} sources; at most {UNKNOWN_SOURCE - 1} fit."
        )
    multipliers = {}
    for source, multiplier in value.items():
        if not isinstance(source, str) or not 0 < len(source) <= MAX_SOURCE_NAME:
            raise InvalidProfile(
                f"Profile field 'sources' has the name {_shown(source)}; names are texts of 1 to "
                f"{MAX_SOURCE_NAME} characters."
            )
        multipliers[source] = float(_number(f"sources.{source}", multiplier, "sources"))
    return multipliers


def _biases(value: object, sources: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InvalidProfile(f"Profile field 'biases' is {_shown(value)}; it must be an object.")
    for source in value:
        if source not in sources:
            raise InvalidProfile(
                f"Profile field 'biases' has the name {_shown(source)}, which is not in 'sources'."
            )
    return {name: float(_number(f"biases.{name}", value[name], "biases")) for name in value}


def _rhythm(value: object) -> Rhythm:
    if isinstance(value, Rhythm):
        value = msgspec.structs.asdict(value)
    if not isinstance(value, Mapping):
        raise InvalidProfile(f"Profile field 'rhythm' is {_shown(value)}; it must be an object.")
    _check_known(value, Rhythm.__struct_fields__, "rhythm.")
    parts = {}
    for part, length in (("daily", 24), ("weekly", 7)):
        numbers = value.get(part, ())
        if not isinstance(numbers, list | tuple) or len(numbers) not in (0, length):
            raise InvalidProfile(
                f"Profile field 'rhythm.{part}' is {_shown(numbers)}; it must be {length} numbers, "
                "or none."
            )
        parts[part] = tuple(
            float(_number(f"rhythm.{part}[{index}]", number, f"rhythm.{part}"))
            for index, number in enumerate(numbers)
        )
    return Rhythm(**parts)
