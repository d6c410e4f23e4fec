"""Packed columns: what the forward pass reads and writes.

The pass gives each user a lane, the longest history first. The vector pass takes one reading of
every lane in a step, so its columns are packed step after step, and within a step lane after
lane. Readings of the scalar pass follow, lane after lane.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter.algebra import Transition, transitions_at
from kalmap.filter.columns import RESTARTED, Belief
from kalmap.outcome import Reason
from kalmap.readings import F64, I64, U8, Bool


class Histories(NamedTuple):
    """Readings of many users, user after user, in order of time."""

    counts: I64
    """(users,) Readings of each, at least 1."""
    gap: F64
    """(readings,) Days since the user's reading before, or since the checkpoint; else 0."""
    value: F64
    """(readings,) In the profile's unit."""
    source: U8
    """(readings,) Source codes."""


class Start(NamedTuple):
    """Where the filters of users start; arrays whose last axis is the users."""

    exists: Bool
    """False where the first reading starts the filter."""
    belief: Belief
    """Empty where none exists."""
    record_after: I64
    """After how many of a user's readings the pass records their belief."""

    def select(self, users: I64) -> "Start":
        """The starts of these users, as a copy."""
        return Start(self.exists[users], self.belief.select(users), self.record_after[users])


class Packing(NamedTuple):
    """Which reading is where."""

    users: I64
    """(users,) The user of each lane."""
    lengths: I64
    """(users,) Readings of each lane, longest first."""
    widths: I64
    """(steps,) Lanes in each step of the vector pass."""
    offsets: I64
    """(steps + 1,) First packed position of each step, and the end of the last one."""

    @property
    def longer(self) -> int:
        """Lanes whose last readings the scalar pass takes."""
        return int(np.count_nonzero(self.lengths > self.widths.size))


class Inputs(NamedTuple):
    """What the filter reads; packed arrays of shape (readings,)."""

    value: F64
    noise: F64
    """R of a typical user."""
    step: Transition[F64]

    def select(self, positions: slice | I64) -> "Inputs":
        """The readings at these packed positions; with a slice, a view."""
        return Inputs(
            self.value[positions], self.noise[positions], transitions_at(self.step, positions)
        )


class Weighed(NamedTuple):
    """What became of one reading of each user; arrays of shape (users,)."""

    belief: Belief
    mixture: F64
    """(5, users) LEVEL, SLOPE, P00, P01, P11 of all hypotheses together."""
    predicted: F64
    """NaN, with the NIS, for a first reading."""
    nis: F64
    precision: F64
    wrong: F64
    """Probability that the reading is wrong."""
    wrong_unit: Bool
    """Whether a mistaken unit is the likeliest of what may be wrong."""
    restarted: Bool
    """Whether another hypothesis became the heaviest, or a jump or a restart did."""
    density: F64

    @property
    def flags(self) -> U8:
        """The readings' reasons, and whether the filter restarted at an accepted one."""
        reason = np.where(self.wrong_unit, Reason.UNIT_SUSPECT, Reason.OUTLIER)
        return np.where(self.wrong > 0.5, reason, self.restarted * RESTARTED).astype(np.uint8)


class Path(NamedTuple):
    """What the filter computed; packed arrays of shape (readings,)."""

    position: I64
    """Packed position of each reading; this column alone is in the order of the histories."""
    estimate: F64
    """(5, readings) LEVEL, SLOPE, P00, P01, P11 after each reading: the hypotheses' mixture."""
    readings: F64
    """Readings that the user's scale has learned from, after each reading."""
    predicted: F64
    """Level expected before the reading; NaN for a user's very first."""
    nis: F64
    """Normalised innovation squared; NaN for a user's very first."""
    precision: F64
    """1 / S; NaN for a user's very first where nothing is known of the population."""
    wrong: F64
    """Probability that the reading is wrong."""
    density: F64
    """Density of the reading before it was seen; NaN for a user's very first."""
    flags: U8
    """Reason, and whether the filter restarted here."""
    recorded: Belief
    """Each user's belief after `Start.record_after` readings, in the order of the histories."""

    def put(self, positions: I64, weighed: Weighed) -> None:
        """Note what became of readings that raised a question."""
        self.estimate[:, positions] = weighed.mixture
        self.readings[positions] = weighed.belief.readings
        self.predicted[positions], self.nis[positions] = weighed.predicted, weighed.nis
        self.precision[positions] = weighed.precision
        # The weights that it is a sum of are rounded.
        self.wrong[positions] = np.minimum(weighed.wrong, 1.0)
        self.density[positions] = weighed.density
        self.flags[positions] = weighed.flags
