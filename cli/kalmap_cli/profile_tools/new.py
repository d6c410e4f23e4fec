"""New profiles: from readings, from a built-in profile in another unit, or from answers."""

import re
import sys
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from kalmap import units
from kalmap.profile import MAX_NAME, Profile, builtin_profile, builtin_profiles, load_profile
from kalmap_cli.errors import WrongUsage
from kalmap_cli.profile_tools import suggest
from kalmap_cli.tuning.fit import fit, rough_profile
from kalmap_cli.tuning.ranges import inside, plausible
from kalmap_cli.tuning.users import Users, typical_of

#: Readings, not counting each user's first, below which only what is typical of them is used.
ENOUGH_TO_FIT = 20
#: Fewer say nothing.
ENOUGH = 5
_WIDEST = (-1e12, 1e12)
#: The comma may separate thousands, or decimals.
_AMBIGUOUS = re.compile(r"[-+]?\d{1,3},\d{3}", re.ASCII)


class Wanted(NamedTuple):
    """What a profile is asked for."""

    quantity: str
    unit: str
    """As a profile's `unit`: in braces if kalmap does not know it."""

    @property
    def name(self) -> str:
        """The new profile's name. It is never that of a built-in one: states belong to a name."""
        name = re.sub(r"[^a-z0-9]+", "-", self.quantity.casefold()).strip("-")[: MAX_NAME - 4]
        return f"my-{name or 'profile'}" if name in {*builtin_profiles(), ""} else name


def wanted(quantity: str, unit: str) -> Wanted:
    """What is asked for, checked.

    Raises:
        InvalidProfile: The unit is none that a profile can have.
    """
    known = units.canonical(unit) in units.KNOWN
    inner = unit.strip() if known or units.is_own(unit.strip()) else "{" + unit.strip() + "}"
    found = Wanted(" ".join(quantity.split()), inner)
    load_profile(msgspec.to_builtins(bootstrap(found)))
    return found


def bootstrap(asked: Wanted) -> Profile:
    """A profile that takes every reading of the unit, to read files with."""
    return Profile(
        name=asked.name, unit=asked.unit, range=_WIDEST, level_noise=1.0, slope_noise=0.0,
        slope_damping=1.0, slope_prior=0.0, measurement_noise=1.0,
    )  # fmt: skip


def built_in_for(asked: Wanted) -> str | None:
    """The built-in profile of the same quantity and kind of unit; None if there is none."""
    found = suggest.fitting(asked.unit, [asked.quantity])
    named = [name for name in found if suggest.is_called(asked.quantity, name)]
    return next(iter(named), None)


def from_readings(
    asked: Wanted, users: Users, progress: Callable[[str], None]
) -> tuple[Profile, list[str]]:
    """A profile from readings, and sentences about it.

    Raises:
        WrongUsage: They are too few.
    """
    base = bootstrap(asked)
    name = built_in_for(asked)
    if name is not None:
        # Sources and the window are not seen in readings.
        base = msgspec.structs.replace(
            builtin_profile(name), name=asked.name, unit=base.unit, range=_WIDEST
        )
    later = users.value.size - users.counts.size
    if later < ENOUGH:
        raise WrongUsage(
            f"Only {later} readings are not their user's first; at least {ENOUGH} are needed to "
            "suggest a profile. Give more files, or leave --from out and answer questions."
        )
    if later >= ENOUGH_TO_FIT:
        fitted = fit(base, users, progress)
        told = [f"  {number}" for number in fitted.numbers]
        return fitted.profile, [*told, fitted.looked_at, _about_range(fitted.profile)]
    typical = typical_of(users)
    base = msgspec.structs.replace(base, range=plausible(base.range, users))
    base = rough_profile(base, inside(base, users), typical)
    few = (
        f"Fewer than {ENOUGH_TO_FIT} readings are too few to fit a profile. Its numbers are what "
        "is typical of these readings, by medians. `kalmap tune FILE` fits them when there are "
        "more."
    )
    return base, [few, _about_range(base)]


def _about_range(profile: Profile) -> str:
    low, high = profile.range
    return (
        f"The range is {low:g} to {high:g} {units.shown(profile.unit)}, from these readings. What "
        "lies outside will be rejected for ever: widen it in the file if more is plausible."
    )


def from_answers(asked: Wanted, ask: Callable[[str], float]) -> Profile:
    """A profile from answers to questions.

    Args:
        asked: Quantity and unit.
        ask: Asks for a number.
    """
    unit = units.shown(asked.unit)
    low = ask(f"The lowest value that you would believe, in {unit}?")
    high = ask(f"The highest, in {unit}?")
    while high <= low:
        high = ask(f"It must be above {low:g}. The highest value, in {unit}?")
    mean = ask(f"A typical person's or thing's value, in {unit}?")
    spread = ask(f"How far from that are most of them, in {unit}?")
    noise = ask(f"Measured twice within minutes, how far apart are the two, in {unit}?")
    change = ask(f"By how much does the true value typically move within a day, in {unit}?")
    return load_profile(
        msgspec.to_builtins(bootstrap(asked))
        | {
            "range": [low, high],
            "level_noise": abs(change),
            # Two readings differ by the square root of two standard deviations.
            "measurement_noise": max(float(f"{abs(noise) / 2.0**0.5:.3g}"), 1e-6 * (high - low)),
            # Most: two standard deviations.
            "population": {
                "level_mean": mean,
                "level_sd": max(abs(spread) / 2.0, 1e-6 * (high - low)),
            },
        }
    )


def ask_text(question: str) -> str:
    """Ask on the terminal.

    Raises:
        WrongUsage: The input has ended.
    """
    while True:
        print(question, end=" ", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise WrongUsage("The input ended before every question was answered.")
        if line.strip():
            return line.strip()


def ask_number(question: str) -> float:
    """Ask for a number on the terminal until one is given.

    Raises:
        WrongUsage: The input has ended.
    """
    while True:
        text = ask_text(question)
        if _AMBIGUOUS.fullmatch(text):
            plain = text.replace(",", "")
            print(
                f"Is {text} {plain} or {text.replace(',', '.')}? Write it without the comma.",
                file=sys.stderr,
            )
            continue
        try:
            value = float(text.replace(",", ".") if text.count(",") == 1 else text)
        except ValueError:
            value = float("nan")
        if abs(value) <= _WIDEST[1]:
            return value
        print(f"{text!r} is not a number. Write for example 80 or 0.5.", file=sys.stderr)
