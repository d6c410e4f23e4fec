"""What the bodies of stored states say without a profile: soundness, version and newest reading."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from kalmap.filter import codec
from kalmap.readings import I64, Bool

#: A digest that no profile needs to have: states of all profiles are read.
_ANY_PROFILE = bytes(8)


class BodyFacts(NamedTuple):
    """What each body says."""

    is_sound: Bool
    """(states,)"""
    as_of: I64
    """(states,) Time of the newest reading, microseconds since 1970 UTC; 0 of a damaged state."""


def read_bodies(bodies: Sequence[bytes]) -> BodyFacts:
    """Read the bodies of states that were folded under any profiles, all at once."""
    decoded = codec.decode(bodies, _ANY_PROFILE, adopt=True)
    is_sound = decoded.failure == 0
    as_of = np.zeros(len(bodies), np.int64)
    as_of[is_sound] = decoded.entries.time[np.cumsum(decoded.counts[is_sound]) - 1]
    return BodyFacts(is_sound, as_of)


def rows_by_version(
    profiles: Iterable[str], bodies: Sequence[bytes], is_sound: Bool
) -> dict[tuple[str, bytes], list[int]]:
    """The positions of the sound states, by the name and digest of the profile of each.

    Args:
        profiles: The profile's name of each state.
        bodies: Of each state.
        is_sound: Of each state, from `read_bodies`.
    """
    rows_of: dict[tuple[str, bytes], list[int]] = {}
    for row, (profile, body) in enumerate(zip(profiles, bodies, strict=True)):
        if is_sound[row]:
            rows_of.setdefault((profile, codec.profile_digest_of(body)), []).append(row)
    return rows_of
