"""The readable fields of states that are known only by their bytes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap.filter import codec
from kalmap.filter.algebra import LEVEL, SLOPE
from kalmap.filter.estimates import newest_estimates
from kalmap.store.profiles import Profiles


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
    fields = [ReadableFields(math.nan, math.nan, 0)] * len(bodies)
    if not bodies:
        return fields
    decoded = codec.decode(bodies, bytes(8), adopt=True)
    sound = np.flatnonzero(decoded.failure == 0).tolist()
    times = decoded.entries.time[np.cumsum(decoded.counts[sound]) - 1].tolist()
    rows_of: dict[bytes, list[int]] = {}
    for row, time in zip(sound, times, strict=True):
        fields[row] = fields[row]._replace(as_of=time)
        rows_of.setdefault(codec.profile_digest_of(bodies[row]), []).append(row)
    for digest, rows in rows_of.items():
        version = profiles.find(profile, digest)
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
