"""Bodies: the exact states of many users as bytes, in one buffer."""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from kalmap.readings import I64, U64

HEADER_BYTES = 144
ENTRY_BYTES = 24
HEADER_ROWS = HEADER_BYTES // ENTRY_BYTES

#: Users whose bodies are cut out at once.
_BLOCK = 4096


def body_sizes(bodies: Sequence[bytes | None]) -> I64:
    """Bytes of each body; -1 for None."""
    if bodies.count(None) == len(bodies):
        return np.full(len(bodies), -1)
    return np.array([-1 if body is None else len(body) for body in bodies])


class Bodies(Sequence[bytes | None]):
    """States of users in one buffer. A body is cut out of it when it is asked for.

    The fold makes many bodies and reads none: an object for each would take a sixth of its time.
    A slice is a view, which can be written to.
    """

    def __init__(self, words: U64, starts: I64, rows: I64) -> None:
        self.words = words
        """The buffer, in rows of three words, with gaps between bodies."""
        self.starts = starts
        """(users,) First row of each body."""
        self.rows = rows
        """(users,) Its number of rows; 0 for None."""

    def __len__(self) -> int:
        return self.rows.size

    @overload
    def __getitem__(self, user: int) -> bytes | None: ...
    @overload
    def __getitem__(self, user: slice) -> "Bodies": ...
    def __getitem__(self, user: int | slice) -> "bytes | Bodies | None":
        if isinstance(user, slice):
            return Bodies(self.words, self.starts[user], self.rows[user])
        start, rows = int(self.starts[user]), int(self.rows[user])
        return self.words[3 * start : 3 * (start + rows)].tobytes() if rows else None

    def __iter__(self) -> Iterator[bytes | None]:
        for first in range(0, len(self), _BLOCK):
            starts = self.starts[first : first + _BLOCK]
            ends = starts + self.rows[first : first + _BLOCK]
            low = int(starts.min())
            data = self.words[3 * low : 3 * int(ends.max())].tobytes()
            cuts = zip(
                (ENTRY_BYTES * (starts - low)).tolist(),
                (ENTRY_BYTES * (ends - low)).tolist(),
                strict=True,
            )
            for start, end in cuts:
                yield data[start:end] if end > start else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def allocate_bodies(counts: I64) -> Bodies:
    """A buffer for new bodies, all of which are None at first.

    Args:
        counts: (users,) Window readings that fit into each.
    """
    rows = counts + HEADER_ROWS
    ends = np.cumsum(rows)
    total = int(ends[-1]) if ends.size else 0
    return Bodies(np.empty(3 * total, "<u8"), ends - rows, np.zeros_like(rows))
