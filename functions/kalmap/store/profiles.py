"""Profiles that states were folded under, stored by digest: a state names its profile by that."""

import msgspec

from kalmap.errors import InvalidProfile
from kalmap.profile import Profile, builtin_profile, digest
from kalmap.store.objects import Objects


class Profiles:
    """The profiles of a bucket, and those that come with kalmap."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def save(self, profile: Profile) -> None:
        """Store a profile so that states folded under it stay readable. Idempotent."""
        own = digest(profile)
        if _built_in(profile.name, own) is None:
            self._objects.put(_key(own), msgspec.json.encode(profile))

    def find(self, name: str, digest_: bytes) -> Profile | None:
        """The profile of this name and digest; None if it is not stored."""
        if profile := _built_in(name, digest_):
            return profile
        data = self._objects.find(_key(digest_))
        # It was checked when it was stored, by the rules of that version.
        return None if data is None else msgspec.json.decode(data, type=Profile)


def _built_in(name: str, digest_: bytes) -> Profile | None:
    try:
        profile = builtin_profile(name)
    except InvalidProfile:
        return None
    return profile if digest(profile) == digest_ else None


def _key(digest_: bytes) -> str:
    return f"profiles/{digest_.hex()}.json"
