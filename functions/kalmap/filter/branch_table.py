"""The branches of a reading: what each may be, and what the filter then does, as a table."""

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kalmap.filter.columns import Kind
from kalmap.filter.noise import NORMAL, POPULATION
from kalmap.readings import F64, I64, U8, Bool


class Sort(IntEnum):
    """Sorts of branches, in the order in which they stand."""

    GOOD = 0
    IN_UNIT = 1
    """The reading is right in another unit."""
    JUMPED = 2
    """It is good, and the level jumped before it."""
    FIRST_IN_UNIT = 3
    """It is good, and the single reading before was in another unit."""
    BEGUN = 4
    """It is good, and nothing before it counts."""
    LEFT_OUT = 5
    """It is wrong."""


_KIND = np.array(
    [Kind.GOOD, Kind.WRONG_UNIT, Kind.GOOD, Kind.GOOD, Kind.GOOD, Kind.WRONG], np.uint8
)
#: Of the reading's density; 0 for the user's degrees of freedom.
_SQUARINGS = np.array([0, 0, NORMAL, NORMAL, POPULATION, NORMAL])
_MOVES = np.array([False, False, True, True, True, False])


class BranchTable(NamedTuple):
    """The branches of a reading, a row each, sort after sort; arrays of shape (branches,)."""

    rows: list[slice]
    """Those of each sort."""
    prior: I64
    """What each comes from: a row of the hypotheses; after them, of the single reading before in
    each other unit; after these, the population."""
    unit: I64
    """The value that it takes in: 0 for the reading, 1, 2 ... for what it is in other units."""
    squarings: I64
    """(branches, 1) Of its density: `noise.student_t`; 0 for the user's."""
    jumps: F64
    """(branches, 1) 1 where a jump's variance is added to the level's, else 0."""
    kind: U8
    moves: Bool
    """Whether the heaviest hypothesis was another one, or jumped, or begins."""


@lru_cache
def branch_table(hypotheses: int, units: int, *, second: bool) -> BranchTable:
    """The branches of users who have at most so many hypotheses.

    Args:
        hypotheses: At least 1.
        units: Units that a reading may mistakenly be in.
        second: Whether it may be a user's second reading.
    """
    every, other = np.arange(hypotheses), np.arange(units)
    first = hypotheses + other[: units * second]
    priors = (every, np.tile(every, units), every, first, [hypotheses + first.size], every)
    sizes = [len(prior) for prior in priors]
    ends = np.cumsum(sizes).tolist()
    sort = np.repeat(np.arange(len(Sort)), sizes)
    prior = np.concatenate(priors)
    unit = np.zeros(sort.size, np.int64)
    unit[sort == Sort.IN_UNIT] = 1 + np.repeat(other, hypotheses)
    return BranchTable(
        [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)],
        prior,
        unit,
        _SQUARINGS[sort][:, None],
        np.where(sort == Sort.JUMPED, 1.0, 0.0)[:, None],
        _KIND[sort],
        _MOVES[sort] | (prior > 0),
    )
