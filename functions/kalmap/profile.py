"""A profile: the state model and the policy for one kind of measurement, as validated data."""

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from kalmap import units
from kalmap.errors import InvalidProfile
from kalmap.readings import UNKNOWN_SOURCE

#: The built-in profile that is used if none is named.
DEFAULT_PROFILE = "body-weight"
#: Most window readings with which a stored state fits into one write unit of DynamoDB.
MAX_WINDOW_READINGS = 24
#: A window entry's offset has 48 bits of microseconds: 3,257 days.
MAX_WINDOW_DAYS = 3000.0
#: A profile's name is part of the item's key, so its bytes count against the item's size.
MAX_NAME = 48
MAX_UNIT = 32

#: Containers cache profiles in memory, so the texts of a profile are limited.
MAX_DESCRIPTION = 10_000
MAX_SOURCE_NAME = 128

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The latest readings of a user. Late readings can still be sorted in between them."""

    readings: int = MAX_WINDOW_READINGS
    """At most this many readings."""
    days: float = 60.0
    """No reading more than this older than the newest."""


class Population(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a user before their first reading; `u` is the profile's unit."""

    level_mean: float | None = None
    """Mean of users' levels, u. Without it a first reading is believed as it stands."""
    level_sd: float | None = None
    """Their standard deviation, u; given with the mean or not at all."""
    slope_mean: float = 0.0
    """Mean of users' slopes, u/day, to which every slope returns."""


class Rhythm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the time adds to readings, u; times are UTC."""

    daily: tuple[float, ...] = ()
    """At each full hour from 0 to 23; between them on a straight line. Or nothing."""
    weekly: tuple[float, ...] = ()
    """On each day from Monday to Sunday. Or nothing."""


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often readings are wrong: typing slips, another person, a mistaken unit."""

    share: float = 0.02
    """Probability that a reading is wrong after a right one. With 0 every reading is believed."""
    repeated: float = 0.3
    """Probability that a reading is wrong after a wrong one."""
    wrong_unit: float = 0.3
    """Share of the wrong readings that are right in another unit of `unit`'s kind."""
    occasion: float = 1.0 / 48.0
    """Days. Readings closer than this are one occasion: what was wrong then stays wrong."""


class Jumps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often the level itself jumps, by more than its noise."""

    share: float = 0.003
    """Probability of a jump before a reading."""
    sd: float | None = None
    """Standard deviation of a jump, u; if none is given, a fortieth of the range."""


class NoiseLearning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a user's own noise of readings is learned."""

    prior: float = 4.0
    """Readings that `measurement_noise` is worth."""
    memory: float = 60.0
    """Most readings that what was learned is worth; older ones are forgotten."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The model's parameters and the policy of decisions; `u` below is the profile's unit.

    docs/model.md has the equations.
    """

    name: str
    """Key of the state beside the user's id: lower-case letters, digits, `-_.`; at most 48."""
    unit: str
    """One of `units.KNOWN`, or a unit of your own in braces, such as {points}."""
    description: str = ""
    range: tuple[float, float]
    """Lowest and highest plausible value, u."""
    level_noise: float
    """Random walk of the level, u per square root of a day."""
    slope_noise: float
    """Random walk of the slope, u/day per square root of a day."""
    slope_damping: float
    """Rate at which a slope is forgotten, per day; with 0 it never is."""
    slope_prior: float
    """Standard deviation of a new user's slope around `population.slope_mean`, u/day."""
    measurement_noise: float
    """Standard deviation of a typical user's reading from a source with multiplier 1, u."""
    sources: dict[str, float] = {}
    """Noise multiplier of each known source."""
    unknown_source: float = 1.0
    """Noise multiplier of every other source."""
    biases: dict[str, float] = {}
    """What a known source adds to each reading, u."""
    rhythm: Rhythm = Rhythm()
    population: Population = Population()
    faults: Faults = Faults()
    jumps: Jumps = Jumps()
    learning: NoiseLearning | None = NoiseLearning()
    """None: every user's noise is `measurement_noise`."""
    future_tolerance: float = 300.0
    """Seconds a reading may lie after the batch's `now`."""
    window: Window = Window()

    @property
    def source_names(self) -> tuple[str, ...]:
        """Known sources, sorted; a source's code is its position here."""
        return tuple(sorted(self.sources))

    def source_code(self, name: str | None) -> int:
        """Code of a source in `Readings.source`; UNKNOWN_SOURCE for none or an unlisted one."""
        if name is None or name not in self.sources:
            return UNKNOWN_SOURCE
        return self.source_names.index(name)


# The bounds keep every intermediate of the filter far inside float64: squares of the largest
# value over the smallest noise, and 24 orders of magnitude of time, stay below 1e200.
_VALUE = 1e12
#: Least and largest multiplier of a source's noise.
MULTIPLIERS = (1e-3, 1e3)
_NUMBERS: dict[str, tuple[float, float]] = {
    "level_noise": (0.0, 1e9),
    "slope_noise": (0.0, 1e9),
    "slope_damping": (0.0, 1e4),
    "slope_prior": (0.0, 1e9),
    "measurement_noise": (1e-9, 1e9),
    "unknown_source": MULTIPLIERS,
    "future_tolerance": (0.0, 86400.0 * 366),
}
_WINDOW = {"readings": (1, MAX_WINDOW_READINGS), "days": (1e-6, MAX_WINDOW_DAYS)}
_POPULATION = {"level_mean": (-_VALUE, _VALUE), "level_sd": (1e-9, 1e9), "slope_mean": (-1e9, 1e9)}
_OFFSET = (-1e9, 1e9)
_FAULTS = {"share": (0.0, 0.5), "repeated": (0.0, 0.99), "wrong_unit": (0.0, 1.0),
           "occasion": (0.0, 366.0)}  # fmt: skip
_JUMPS = {"share": (0.0, 0.5), "sd": (1e-9, 1e9)}
#: The stored state counts quarters of readings in a byte.
_LEARNING = {"prior": (1.0, 63.0), "memory": (1.0, 63.0)}
_WHOLE = frozenset({"window.readings"})
_REQUIRED = ("name", "unit", "range", "level_noise", "slope_noise", "slope_damping",
             "slope_prior", "measurement_noise")  # fmt: skip
#: Fields of profiles written for kalmap 0.1, whose filter had a gate. They are read and not used.
_FORMER = ("gate", "rate_limit", "recovery", "quality")


def load_profile(data: bytes | Mapping[str, Any]) -> Profile:
    """Read and check a profile, from its JSON bytes or from the mapping in them.

    Raises:
        InvalidProfile: The message names the field, its value and the allowed values.
    """
    if isinstance(data, bytes | bytearray):
        try:
            data = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"The profile is not valid JSON: {error}."
            raise InvalidProfile(message) from None
    if not isinstance(data, Mapping):
        raise InvalidProfile(f"A profile is a JSON object of named fields, not {_shown(data)}.")
    try:
        msgspec.json.encode(data)
    except (ValueError, TypeError, RecursionError):
        # Some JSON readers accept half of a surrogate pair, which has no UTF-8.
        raise InvalidProfile("The profile holds something that has no form in JSON.") from None
    fields = {name: value for name, value in data.items() if name not in _FORMER}
    _check_known(fields, Profile.__struct_fields__, "")
    for field in _REQUIRED:
        if field not in fields:
            raise InvalidProfile(f"The profile has no field {field!r}; it is required.")
    _check_texts(fields)
    _check_range(fields)
    for field, bounds in _NUMBERS.items():
        if field in fields:
            fields[field] = _number(field, fields[field], bounds)
    fields["sources"] = _sources(fields.get("sources", {}))
    fields["window"] = Window(**_section("window", fields.get("window", {}), _WINDOW))
    fields["biases"] = _biases(fields.get("biases", {}), fields["sources"])
    fields["rhythm"] = _rhythm(fields.get("rhythm", {}))
    fields["population"] = _population(fields.get("population", {}))
    fields["faults"] = Faults(**_section("faults", fields.get("faults", {}), _FAULTS))
    fields["jumps"] = Jumps(**_section("jumps", fields.get("jumps", {}), _JUMPS))
    if fields.get("learning", {}) is not None:
        learning = _section("learning", fields.get("learning", {}), _LEARNING)
        fields["learning"] = NoiseLearning(**learning)
    return Profile(**fields)


def builtin_profile(name: str) -> Profile:
    """The profile that comes with kalmap under this name.

    Raises:
        InvalidProfile: There is none. The message lists the built-in profiles.
    """
    folder = resources.files("kalmap").joinpath("profiles")
    names = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir())
    if name not in names:
        known = ", ".join(names)
        raise InvalidProfile(f"There is no built-in profile {_shown(name)}; there is: {known}.")
    return load_profile(folder.joinpath(f"{name}.json").read_bytes())


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
            message = f"The profile has an unknown field {name}; known are: {names}."
            raise InvalidProfile(message)


def _number(field: str, value: object, bounds: tuple[float, float]) -> float | int:
    low, high = bounds
    if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
        if field not in _WHOLE:
            return float(value)
        if value == int(value):
            return int(value)
    kind = "a whole number" if field in _WHOLE else "a number"
    raise InvalidProfile(
        f"Profile field {field!r} is {_shown(value)}; it must be {kind} from {low:g} to {high:g}."
    )


def _section(
    field: str, value: object, bounds: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if not isinstance(value, Mapping):
        raise InvalidProfile(f"Profile field {field!r} is {_shown(value)}; it must be an object.")
    _check_known(value, tuple(bounds), f"{field}.")
    # JSON's null stands for a number that is not given.
    return {
        key: _number(f"{field}.{key}", number, bounds[key])
        for key, number in value.items()
        if number is not None
    }


def _population(value: object) -> Population:
    population = Population(**_section("population", value, _POPULATION))
    if (population.level_mean is None) != (population.level_sd is None):
        missing = "level_mean" if population.level_mean is None else "level_sd"
        raise InvalidProfile(
            f"Profile field 'population' has no {missing!r}; level_mean and level_sd are given "
            "together or not at all."
        )
    return population


def _check_texts(fields: dict[str, Any]) -> None:
    name = fields["name"]
    if (
        not isinstance(name, str)
        or not 1 <= len(name) <= MAX_NAME
        or not _NAME_CHARACTERS.issuperset(name)
    ):
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
    if not isinstance(value, str) or not 1 <= len(name) <= MAX_UNIT:
        raise InvalidProfile(
            f"Profile field 'unit' is {_shown(value)}; it must be a text of 1 to {MAX_UNIT} "
            "characters."
        )
    if not units.is_own(value.strip()):
        raise InvalidProfile(
            f"Profile field 'unit' is {_shown(value)}, which is none of "
            f"{', '.join(units.KNOWN)}. A unit of your own, which is never converted, stands in "
            f"braces: {_shown('{' + name + '}')}."
        )
    return "{" + name + "}"


def _check_range(fields: dict[str, Any]) -> None:
    value = fields["range"]
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InvalidProfile(
            f"Profile field 'range' is {_shown(value)}; it must be two numbers, lowest and highest."
        )
    low, high = (
        float(_number(f"range[{index}]", end, (-_VALUE, _VALUE))) for index, end in enumerate(value)
    )
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
        multipliers[source] = float(_number(f"sources.{source}", multiplier, MULTIPLIERS))
    return multipliers


def _biases(value: object, sources: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InvalidProfile(f"Profile field 'biases' is {_shown(value)}; it must be an object.")
    for source in value:
        if source not in sources:
            raise InvalidProfile(
                f"Profile field 'biases' has the name {_shown(source)}, which is not in 'sources'."
            )
    return {name: float(_number(f"biases.{name}", value[name], _OFFSET)) for name in value}


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
            float(_number(f"rhythm.{part}[{index}]", number, _OFFSET))
            for index, number in enumerate(numbers)
        )
    return Rhythm(**parts)
