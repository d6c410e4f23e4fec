"""Units of measurement, and how values are converted between them.

Units of a kind differ by a factor, so that the filter can recognise a value in the wrong unit by
its ratio (see `filter.hypotheses`); those of temperature differ also by an offset. A profile may
have a unit of its own, in braces, as UCUM writes units that it does not define. Factors are exact
by definition (international pound and inch, the standard atmosphere's mmHg, glucose by its molar
mass of 180.156 g/mol, which makes 1 mmol/L 18.0156 mg/dL).
"""

import re
from typing import NamedTuple

_MASS = {"kg": 1000.0, "g": 1.0, "mg": 0.001, "lb": 453.59237, "oz": 28.349523125, "st": 6350.29318}
_LENGTH = {"m": 1000.0, "cm": 10.0, "mm": 1.0, "in": 25.4, "ft": 304.8}
_GLUCOSE = {"mmol/l": 180.156, "mg/dl": 10.0, "g/l": 1000.0}
_PRESSURE = {"kpa": 1000.0, "hpa": 100.0, "mmhg": 133.322387415}
_RATE = {"bpm": 1.0, "hz": 60.0}
_TEMPERATURE = {"°c": 1.0, "°f": 5.0 / 9.0}
#: What is zero in °C.
_ZEROS = {"°f": -160.0 / 9.0}

#: The dimensions, each as a table of factors.
_TABLES = (_MASS, _LENGTH, _GLUCOSE, _PRESSURE, _RATE, _TEMPERATURE)
_TABLE_OF = {unit: table for table in _TABLES for unit in table}
_ALIASES = {
    "kgs": "kg", "kilogram": "kg", "kilograms": "kg", "gram": "g", "grams": "g",
    "lbs": "lb", "pound": "lb", "pounds": "lb", "ounce": "oz", "ounces": "oz",
    "stone": "st", "stones": "st", "inch": "in", "inches": "in", "foot": "ft", "feet": "ft",
    "count/min": "bpm", "beats/min": "bpm", "beats per minute": "bpm", "/min": "bpm",
    "1/min": "bpm", "min-1": "bpm", "mm hg": "mmhg", "mm[hg]": "mmhg",
    "mg/100ml": "mg/dl", "mg/100 ml": "mg/dl",
    "c": "°c", "degc": "°c", "cel": "°c", "celsius": "°c", "ºc": "°c", "℃": "°c", "° c": "°c",
    "f": "°f", "degf": "°f", "[degf]": "°f", "fahrenheit": "°f", "ºf": "°f", "℉": "°f", "° f": "°f",
}  # fmt: skip
#: Apple Health writes the molar mass of glucose into its unit.
_MOLAR_MASS = re.compile(r"^mmol<180\.15[0-9]*>/")

#: Units whose usual spelling has capital letters.
_SHOWN = {
    unit.casefold(): unit for unit in ("mmol/L", "mg/dL", "g/L", "kPa", "hPa", "mmHg", "Hz",
                                       "°C", "°F")
}  # fmt: skip

KNOWN = tuple(_TABLE_OF)
#: Every spelling of a known unit, in lower case, but for the molar mass of glucose.
SPELLINGS = (*KNOWN, *_ALIASES)


class Conversion(NamedTuple):
    """From one unit to another."""

    factor: float
    offset: float = 0.0
    """Added to the multiplied value; in the unit of the result."""


def canonical(unit: str) -> str:
    """The canonical name of a unit: in lower case, singular, without braces."""
    name = unit.strip().casefold()
    if is_own(name):
        name = name[1:-1].strip()
    name = _MOLAR_MASS.sub("mmol/", name)
    return _ALIASES.get(name, name)


def shown(unit: str) -> str:
    """A unit as people write it, without braces."""
    name = canonical(unit)
    return _SHOWN.get(name, name)


def is_own(unit: str) -> bool:
    """Whether a unit is a profile's own, in braces."""
    return unit.startswith("{") and unit.endswith("}")


def conversion(unit: str, to: str) -> Conversion | None:
    """How a value is converted from one unit to another.

    Args:
        unit: The unit of the value. Case and plurals do not matter.
        to: The unit of the result.

    Returns:
        For equal units (known or not) the factor is exactly 1.0. None if one of them is unknown, or
        if they have different dimensions.
    """
    unit, to = canonical(unit), canonical(to)
    if unit == to:
        return Conversion(1.0)
    table = _TABLE_OF.get(unit)
    if table is None or to not in table:
        return None
    zero = _ZEROS.get(unit, 0.0) - _ZEROS.get(to, 0.0)
    return Conversion(table[unit] / table[to], zero / table[to])


def are_alike(unit: str, other: str) -> bool:
    """Whether values can be converted from one unit to the other."""
    return conversion(unit, other) is not None


def mix_ups(unit: str) -> tuple[float, ...]:
    """The factors by which a value can be wrong if its unit was mistaken.

    Args:
        unit: The unit that values should have.

    Returns:
        For every other unit of the same dimension, the factor that converts from it to `unit`, and
        the inverse (for a value that should not have been converted). The factors are sorted, so
        that the same profile always tries them in the same order. None for temperatures: no factor
        tells °F from °C.
    """
    unit = canonical(unit)
    table = _TABLE_OF.get(unit, {})
    if table is _TEMPERATURE:
        return ()
    factors = {table[other] / table[unit] for other in table if other != unit}
    return tuple(sorted(factors | {1.0 / factor for factor in factors}))
