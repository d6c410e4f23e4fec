"""The readable fields of states that are known only by their bytes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from kalmap.filter.algebra import LEVEL, SLOPE
from kalmap.filter.estimates import newest_estimates
from kalmap.store.profiles import Profiles
from kalmap_cli.stored_bodies import read_bodies, rows_by_version


class ReadableFields(NamedTuple):
    """What a table shows of a state. No code computes with it."""

    level: float
    """In the profile's unit; nan if the state is damaged, or its profile is not stored."""
    slope: float
    """The same, per day."""
    as_of: int
    """Microseconds since 1970 UTC; 0 if the state is damaged."""


def readable_fields(
    profile: str, bodies: Sequence[bytes], profiles: Profiles
) -> list[ReadableFields]:
    """The readable fields of states under one profile's name, in the same order.

    Args:
        profile: The profile's name.
        bodies: The states.
        profiles: The profiles that they were folded under.
    """
    is_sound, as_of = read_bodies(bodies)
    fields = [ReadableFields(math.nan, math.nan, time) for time in as_of.tolist()]
    by_version = rows_by_version([profile] * len(bodies), bodies, is_sound)
    for (name, digest), rows in by_version.items():
        version = profiles.find(name, digest)
        if version is not None:
            newest = newest_estimates(version, [bodies[row] for row in rows])
            for row, level, slope, time in zip(
                rows,
                newest.estimate[LEVEL].tolist(),
                newest.estimate[SLOPE].tolist(),
                newest.as_of.tolist(),
                strict=True,
            ):
                fields[row] = ReadableFields(level, slope, time)
    return fields
