"""The fields of a profile: what each one is, its unit, its bounds and its effect.

This is the one place that knows them. The decoder's bounds and sentences (`profile.load_profile`),
the JSON schema, `kalmap profiles show` and docs/profiles.md are made from it.
"""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec

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
#: Of a profile's name.
NAME_PATTERN = "^[a-z0-9_.-]+$"
#: Code of a source that a profile does not list. Those that it lists have the codes below.
UNKNOWN_SOURCE = 255

# The bounds keep every intermediate of the filter far inside float64: squares of the largest
# value over the smallest noise, and 24 orders of magnitude of time, stay below 1e200. They may
# become wider but never narrower: stored profiles must stay readable.
_VALUE = (-1e12, 1e12)
_OFFSET = (-1e9, 1e9)
_NOISE = (0.0, 1e9)
#: Least and largest multiplier of a source's noise.
MULTIPLIERS = (1e-3, 1e3)


def _text(what: str) -> msgspec.Meta:
    return msgspec.Meta(description=what)


def _in(unit: str, bounds: tuple[float, float], what: str = "") -> msgspec.Meta:
    """A number's unit, where `u` is the profile's unit; its bounds, and its effect."""
    low, high = bounds
    return msgspec.Meta(ge=low, le=high, description=what or None, extra={"unit": unit})


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The latest readings of a user. Late readings can still be sorted in between them."""

    readings: Annotated[
        int,
        _in("readings", (1, MAX_WINDOW_READINGS), "At most this many readings are kept in order."),
    ] = MAX_WINDOW_READINGS
    days: Annotated[
        float,
        _in(
            "days",
            (1e-6, MAX_WINDOW_DAYS),
            "A reading more than this older than the newest one of its user is too late.",
        ),
    ] = 60.0


class Population(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a user before their first reading."""

    level_mean: Annotated[
        Annotated[float, _in("u", _VALUE)] | None,
        _text("Mean of users' levels. Without it a first reading is believed as it stands."),
    ] = None
    level_sd: Annotated[
        Annotated[float, _in("u", (1e-9, 1e9))] | None,
        _text("Standard deviation of users' levels; given with the mean or not at all."),
    ] = None
    slope_mean: Annotated[
        float,
        _in(
            "u/day",
            _OFFSET,
            "Mean of users' slopes, to which every slope returns. Growing children have one above "
            "0.",
        ),
    ] = 0.0


class Rhythm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the time adds to readings; times are UTC."""

    daily: Annotated[
        tuple[Annotated[float, _in("u", _OFFSET)], ...],
        _text(
            "What is added at each full hour from 0 to 23, in UTC; between them on a straight "
            "line. 24 numbers, or none."
        ),
    ] = ()
    weekly: Annotated[
        tuple[Annotated[float, _in("u", _OFFSET)], ...],
        _text("What is added on each day from Monday to Sunday. 7 numbers, or none."),
    ] = ()


class Faults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often readings are wrong: typing slips, another person, a mistaken unit."""

    share: Annotated[
        float,
        _in(
            "probability",
            (0.0, 0.5),
            "That a reading is wrong after a right one. More means that more readings are "
            "rejected; with 0 every reading is believed.",
        ),
    ] = 0.02
    repeated: Annotated[
        float, _in("probability", (0.0, 0.99), "That a reading is wrong after a wrong one.")
    ] = 0.3
    wrong_unit: Annotated[
        float,
        _in(
            "share",
            (0.0, 1.0),
            "Of the wrong readings, those that are right in another unit of the same kind.",
        ),
    ] = 0.3
    occasion: Annotated[
        float,
        _in(
            "days",
            (0.0, 366.0),
            "Readings closer than this are one occasion: what was wrong then stays wrong.",
        ),
    ] = 1.0 / 48.0


class Jumps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often the level itself jumps, by more than its noise."""

    share: Annotated[
        float,
        _in(
            "probability",
            (0.0, 0.5),
            "That the level has jumped before a reading. More means that a new level is believed "
            "after fewer readings.",
        ),
    ] = 0.003
    sd: Annotated[
        Annotated[float, _in("u", (1e-9, 1e9))] | None,
        _text("Standard deviation of a jump; if none is given, a fortieth of the range."),
    ] = None


class NoiseLearning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a user's own noise of readings is learned."""

    # The stored state counts quarters of readings in a byte.
    prior: Annotated[
        float,
        _in(
            "readings",
            (1.0, 63.0),
            "What measurement_noise is worth. More means that a user's own noise is learned more "
            "slowly.",
        ),
    ] = 4.0
    memory: Annotated[
        float,
        _in(
            "readings",
            (1.0, 63.0),
            "The most that the learned noise is worth; what is older is forgotten.",
        ),
    ] = 60.0


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The model's parameters and the policy of decisions; `u` below is the profile's unit.

    docs/profiles.md explains each field, docs/model.md has the equations.
    """

    name: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=MAX_NAME,
            pattern=NAME_PATTERN,
            description="Stored states belong to a name. Lower-case letters, digits, '-', '_' and "
            f"'.'; at most {MAX_NAME}.",
        ),
    ]
    unit: Annotated[
        str,
        _text(
            "The unit of levels and of every u below. Readings in other units of its kind are "
            "converted. A unit that kalmap does not know stands in braces, such as {points}, and "
            "is never converted."
        ),
    ]
    description: Annotated[
        str,
        msgspec.Meta(
            max_length=MAX_DESCRIPTION,
            description="What it is for, where its numbers are from, and its limits. Free text.",
        ),
    ] = ""
    range: Annotated[
        tuple[Annotated[float, _in("u", _VALUE)], Annotated[float, _in("u", _VALUE)]],
        _text(
            "Lowest and highest plausible value. A reading outside is rejected as out_of_range and "
            "never looked at again."
        ),
    ]
    level_noise: Annotated[
        float,
        _in(
            "u/√day",
            _NOISE,
            "Random walk of the level: after d days it has moved by about this times √d. More "
            "means that the estimate follows readings faster and is less smooth.",
        ),
    ]
    slope_noise: Annotated[
        float,
        _in(
            "u/day/√day",
            _NOISE,
            "Random walk of the slope. More means that trends may turn sooner; with 0 a trend "
            "only fades.",
        ),
    ]
    slope_damping: Annotated[
        float,
        _in(
            "1/day",
            (0.0, 1e4),
            "Rate at which a slope returns to population.slope_mean: to about a third of it "
            "after 1/slope_damping days. With 0 it never does.",
        ),
    ]
    slope_prior: Annotated[
        float,
        _in(
            "u/day",
            _NOISE,
            "Standard deviation of users' slopes: how steep a new user's trend may be. With 0 "
            "(and slope_noise 0) there is no trend.",
        ),
    ]
    measurement_noise: Annotated[
        float,
        _in(
            "u",
            (1e-9, 1e9),
            "Standard deviation of a typical user's readings around their level, from a source "
            "with multiplier 1. More means that single readings count less.",
        ),
    ]
    sources: Annotated[
        dict[
            Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SOURCE_NAME)],
            Annotated[float, _in("factor", MULTIPLIERS)],
        ],
        msgspec.Meta(
            max_length=UNKNOWN_SOURCE - 1,
            description="Multiplier of the noise for each known source, such as "
            '{"scale": 1, "manual": 2}.',
        ),
    ] = {}
    unknown_source: Annotated[
        float,
        _in("factor", MULTIPLIERS, "The multiplier of readings from no source or another one."),
    ] = 1.0
    biases: Annotated[
        dict[str, Annotated[float, _in("u", _OFFSET)]],
        _text("What a source always adds to its readings; each name must be among the sources."),
    ] = {}
    rhythm: Rhythm = Rhythm()
    population: Population = Population()
    faults: Faults = Faults()
    jumps: Jumps = Jumps()
    learning: Annotated[
        NoiseLearning | None,
        _text("How a user's own noise is learned; null: everybody has measurement_noise."),
    ] = NoiseLearning()
    future_tolerance: Annotated[
        float,
        _in(
            "seconds",
            (0.0, 86400.0 * 366),
            "A reading later than the batch's time by more than this is rejected as in_future.",
        ),
    ] = 300.0
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


class Field(NamedTuple):
    """A field of a profile, in its struct's words."""

    path: str
    """Such as window.days."""
    effect: str
    unit: str = ""
    """`u` is the profile's unit. Empty for texts."""
    low: float | None = None
    high: float | None = None
    is_whole: bool = False
    default: Any = None
    is_required: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """Of a number."""
        return (0.0 if self.low is None else self.low), (0.0 if self.high is None else self.high)


def _fields(struct: type[msgspec.Struct], prefix: str) -> Iterator[Field]:
    described = msgspec.inspect.type_info(struct)
    for field in described.fields:  # type: ignore[attr-defined]
        path = prefix + field.name
        found: dict[str, Any] = {}
        parts: list[Field] = []
        inner = field.type
        while inner is not None:
            if isinstance(inner, msgspec.inspect.Metadata):
                found |= inner.extra or {}
                found |= {"effect": (inner.extra_json_schema or {}).get("description", "")} | found
                inner = inner.type
                continue
            if isinstance(inner, msgspec.inspect.StructType):
                parts = list(_fields(inner.cls, f"{path}."))
            elif isinstance(inner, msgspec.inspect.FloatType | msgspec.inspect.IntType):
                found |= {"low": inner.ge, "high": inner.le}
                found |= {"is_whole": isinstance(inner, msgspec.inspect.IntType)}
            inner = _inside(inner)
        if found:
            default = {} if field.default_factory is dict else field.default
            yield Field(
                path, found.pop("effect", ""), default=None if field.required else default,
                is_required=field.required, **found,
            )  # fmt: skip
        yield from parts


def _inside(type_: Any) -> Any:
    """What a container or an optional type is of; None if it is neither."""
    if isinstance(type_, msgspec.inspect.UnionType):
        return next(part for part in type_.types if not isinstance(part, msgspec.inspect.NoneType))
    if isinstance(type_, msgspec.inspect.DictType):
        return type_.value_type
    if isinstance(type_, msgspec.inspect.VarTupleType):
        return type_.item_type
    if isinstance(type_, msgspec.inspect.TupleType):
        return type_.item_types[0]
    return None


#: Every field by its path, in the order of the structs.
FIELDS = {field.path: field for field in _fields(Profile, "")}
