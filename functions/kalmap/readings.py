"""Readings as columns, their form between parsing and results."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap import profile_fields

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]
Bool = NDArray[np.bool_]

#: `Readings.source` of a source that the profile does not list.
UNKNOWN_SOURCE = profile_fields.UNKNOWN_SOURCE


class Readings(NamedTuple):
    """Valid readings of users, in any order; every array has shape (readings,).

    A reading's key is (time, tag, hash). It orders a user's readings and identifies
    duplicates.
    """

    user: I32
    """Position of the user in the list of users that goes with these readings."""
    time: I64
    """Microseconds since 1970-01-01 UTC."""
    value: F64
    """In the profile's unit; finite."""
    source: U8
    """Position in the profile's sorted source names, or UNKNOWN_SOURCE."""
    tag: U8
    """1 if the hash is that of a measurement id, 0 if it is that of source and value."""
    hash: U64
    index: I64  # type: ignore[assignment]  # hides tuple.index, which is not used
    """0-based position in the batch's input; unique."""
