"""A profile fitted to a table of readings: what `kalmap tune` fits."""

from collections.abc import Callable

import msgspec

from kalmap.errors import InvalidInput
from kalmap.profile import DEFAULT_PROFILE, Profile
from kalmap_cli.commands.tune import tuned_name, users_of
from kalmap_cli.errors import WrongUsage
from kalmap_cli.tuning.fit import fit
from kalmap_library.profiles import AnyProfile, load_profile
from kalmap_library.records import parse_readings


def tune(
    readings: object,
    profile: AnyProfile = DEFAULT_PROFILE,
    *,
    name: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Fit a profile to many users' readings.

    It is fitted to all of them. The command `kalmap tune` also tries a profile on users that the
    fit did not see, and says what it cannot fit.

    Args:
        readings: A table, as for `fold`.
        profile: Gives unit, sources and window, and says whether there are faults and jumps.
        name: The new profile's name; None for the old one with -tuned.
        progress: Gets a sentence now and then.

    Raises:
        InvalidInput: The readings are no such table, too few, or all the same.
        InvalidProfile: The profile is wrong, or the new name is.
    """
    base = load_profile(profile)
    named = load_profile(msgspec.to_builtins(base) | {"name": name or tuned_name(base.name)})
    parsed = parse_readings(readings, base)
    try:
        users = users_of(base, [parsed])
    except WrongUsage as error:
        raise InvalidInput(str(error)) from None
    fitted = fit(base, users, progress).profile
    return load_profile(msgspec.to_builtins(fitted) | {"name": named.name, "description": ""})
