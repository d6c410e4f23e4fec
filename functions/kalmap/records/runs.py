"""Runs: where the records of a chunk were, as stretches of consecutive lines."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

#: Runs of one chunk. A file in which every other line is no record has more; they are not kept.
_MOST = 20_000


class Run(NamedTuple):
    """Records that were in consecutive lines of one object."""

    ordinal: int
    """Of the first, among the chunk's records."""
    file: int
    """Position of the object among those of the chunk."""
    line: int | None
    """Of the first, counted as those of unreadable records are; None if lines are not known."""


def place_of(runs: Sequence[Run], ordinal: int) -> tuple[int, int | None] | None:
    """The object and the line of a record.

    Args:
        runs: Of its chunk, in their order.
        ordinal: Its position among the chunk's records.

    Returns:
        The position of the object among the chunk's, and the line, None if it is not known. None
        if there are no runs.
    """
    found = bisect_right(runs, ordinal, key=lambda run: run.ordinal) - 1
    if found < 0:
        return None
    run = runs[found]
    return run.file, None if run.line is None else run.line + ordinal - run.ordinal


class Runs:
    """Collects the runs of a chunk."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def add(self, ordinal: int, file: int, line: int) -> None:
        """Add records in consecutive lines; `ordinal` and `line` are those of the first."""
        if not self.runs:
            self.runs.append(Run(ordinal, file, line))
            return
        first, last_file, last_line = self.runs[-1]
        if last_file == file and last_line is not None and line - last_line == ordinal - first:
            return
        if len(self.runs) < _MOST:
            self.runs.append(Run(ordinal, file, line))
        elif last_line is not None or last_file != file:
            self.runs.append(Run(ordinal, file, None))

    def add_lines(self, ordinal: int, file: int, before: int, lines: Sequence[int]) -> None:
        """Add records in these lines of a block that has `before` lines before it."""
        offsets = np.diff(np.asarray(lines, np.int64) - np.arange(len(lines)), prepend=-1)
        for place in np.flatnonzero(offsets).tolist():
            self.add(ordinal + place, file, before + lines[place])
