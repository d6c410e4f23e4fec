"""A profile by its name, file or fields."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from kalmap.errors import InvalidProfile
from kalmap.profile import Profile, builtin_profile
from kalmap.profile import load_profile as checked_profile

AnyProfile = Profile | str | PathLike[str] | Mapping[str, Any]


def load_profile(profile: AnyProfile) -> Profile:
    """A profile, checked.

    Args:
        profile: The name of a built-in profile, a JSON file, its fields, or a profile.

    Raises:
        InvalidProfile: It is none of these; the sentence names the field that is wrong.

    >>> load_profile("body-weight").unit
    'kg'
    """
    if isinstance(profile, Profile):
        return profile
    if isinstance(profile, Mapping):
        return checked_profile(profile)
    if isinstance(profile, str) and not profile.endswith(".json"):
        return builtin_profile(profile)
    if not isinstance(profile, str | PathLike):
        raise InvalidProfile(
            "A profile is the name of a built-in one, a JSON file, its fields, or a "
            f"kalmap.Profile; not {profile!r}."
        )
    try:
        return checked_profile(Path(profile).read_bytes())
    except OSError as error:
        raise InvalidProfile(f"The profile {profile} cannot be read: {error.strerror}.") from None
