"""The profiles of stored states, stored by digest. A state names its profile by the digest."""

import msgspec

from kalmap.errors import InvalidProfile
from kalmap.keys import PROFILES
from kalmap.profile import Profile, builtin_profile, digest
from kalmap.store.objects import Objects


class Profiles:
    """The profiles in a bucket, and the built-in ones."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def save(self, profile: Profile) -> None:
        """Store a profile so that states folded under it stay readable. Idempotent.

        Also a built-in one, which another version of kalmap may have changed.
        """
        self._objects.put(_key(digest(profile)), msgspec.json.encode(profile))

    def find(self, name: str, profile_digest: bytes) -> Profile | None:
        """Find the profile of a name and digest; None if it is not stored."""
        if profile := _built_in(name, profile_digest):
            return profile
        data = self._objects.find(_key(profile_digest))
        # It is not checked again: it was valid for the version of kalmap that stored it.
        return None if data is None else msgspec.json.decode(data, type=Profile)


def _built_in(name: str, profile_digest: bytes) -> Profile | None:
    try:
        profile = builtin_profile(name)
    except InvalidProfile:
        return None
    return profile if digest(profile) == profile_digest else None


def _key(profile_digest: bytes) -> str:
    return f"{PROFILES}{profile_digest.hex()}.json"
