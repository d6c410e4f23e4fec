"""Coded columns: each distinct text once, and for each reading the position of its own."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap.readings import F64, I32, I64


class Coded(NamedTuple):
    """A column of texts, of shape (readings,)."""

    names: Sequence[str | None]
    """The distinct texts."""
    codes: I32
    """For each reading, the position in `names`."""

    @classmethod
    def of(cls, texts: Sequence[str | None]) -> "Coded":
        """Code texts in the order in which they first occur."""
        positions = {name: position for position, name in enumerate(dict.fromkeys(texts))}
        codes = np.fromiter(map(positions.__getitem__, texts), np.int32, len(texts))
        return cls(list(positions), codes)

    def take(self, rows: I64) -> "Coded":
        """The column of some rows, with only the names that they have."""
        codes = self.codes[rows]
        is_used = np.zeros(len(self.names), bool)
        is_used[codes] = True
        position = np.cumsum(is_used, dtype=np.int32) - 1
        names = [self.names[code] for code in np.flatnonzero(is_used).tolist()]
        return Coded(names, position[codes].astype(np.int32))

    @classmethod
    def constant(cls, name: str | None, count: int) -> "Coded":
        """The same text for all."""
        return cls([name], np.zeros(count, np.int32))


class CodedReadings(NamedTuple):
    """Readings of a block as columns, before their values are converted to the profile's unit."""

    users: Coded
    units: Coded
    sources: Coded
    time: I64
    """Microseconds since 1970 UTC."""
    value: F64
    ids: list[str | None]
    """Measurement ids."""
