"""Which built-in profile fits: by the unit of readings, and by what their column is called."""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources

from kalmap import units
from kalmap.profile import builtin_profile, builtin_profiles
from kalmap_cli.profile_tools.explain import summary

#: Letters of a quantity that is looked for within a longer name. Shorter ones are other words, too.
_SHORTEST = 5


def plain(name: str) -> str:
    """A name without case, marks and blanks that do not matter."""
    return re.sub(r"[\s_/-]+", " ", name.strip().strip(".:").casefold()).strip()


def fitting(unit: str | None, names: Sequence[str] = ()) -> list[str]:
    """Built-in profiles for readings, the likeliest first.

    Args:
        unit: Of the readings; None if it is not known.
        names: What the readings are called.
    """
    wanted = {plain(name) for name in names}
    named = [name for name, words in _quantities().items() if wanted & words]
    named = named or [name for name, words in _quantities().items() if _mentions(wanted, words)]
    if unit is None:
        return named
    alike = [
        name for name in builtin_profiles() if units.are_alike(unit, builtin_profile(name).unit)
    ]
    found = [name for name in alike if name in named] or alike
    same = units.canonical(unit)
    return sorted(found, key=lambda name: units.canonical(builtin_profile(name).unit) != same)


def _mentions(names: Iterable[str], words: Iterable[str]) -> bool:
    """Whether a name has one of these among others, as `average heart rate` has."""
    long = [f" {word} " for word in words if len(word) >= _SHORTEST]
    return any(word in f" {name} " for name in names for word in long)


def unit_of(name: str) -> str:
    """The unit of a built-in profile."""
    return builtin_profile(name).unit


def built_in_of(name: str) -> str | None:
    """The built-in profile that a profile of this name was made from, such as by tuning."""
    stems = [known for known in builtin_profiles() if f"{name}-".startswith(f"{known}-")]
    return max(stems, key=len, default=None)


def is_called(column: str, profile: str) -> bool:
    """Whether a column is called like what a profile of this name measures."""
    stem = built_in_of(profile)
    return stem is not None and plain(column) in _quantities()[stem]


def quantity_names() -> list[str]:
    """What columns are called that a built-in profile is for."""
    return [name for names in _quantities().values() for name in sorted(names)]


def listed(names: Sequence[str]) -> str:
    """Profiles with what each is for."""
    return "; ".join(f"{name} ({summary(builtin_profile(name))})" for name in names)


@cache
def _quantities() -> dict[str, frozenset[str]]:
    file = resources.files(__package__).joinpath("quantities.json")
    content: dict[str, list[str]] = json.loads(file.read_bytes())
    named = {name: frozenset(map(plain, words)) for name, words in content.items()}
    return {name: named.get(name, frozenset()) | {plain(name)} for name in builtin_profiles()}
