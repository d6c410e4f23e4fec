"""Reduction: of all branches, the three hypotheses that remain.

Branches that agree are merged by their moments (the Gaussian sum of Alspach and Sorenson, 1972);
the heaviest remain. They are rounded as the state stores them, so that a stored state and the
filter's are the same.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter.algebra import LEVEL, P00, P01, P11, SLOPE
from kalmap.filter.columns import OTHERS, WEIGHT, Belief, Kind
from kalmap.readings import F64, I64, U8, Bool

#: Branches agree whose levels are within so many standard deviations.
_AGREE = 1.0
#: A hypothesis below this share of the heaviest is dropped; a new question needs a larger share.
_DROP, _DROP_AT_ONCE = 1e-3, 1e-2
#: The least weight that is kept; the greatest number that is stored in 32 bits.
_LIGHTEST, _LARGEST = 1e-37, 3e38
_HYPOTHESES = 1 + OTHERS


class Branches(NamedTuple):
    """What the readings of users may be; arrays of shape (branches,)."""

    user: I64
    """Whose each is: a position in 0 .. users - 1. Everyone has one at least."""
    weight: F64
    estimate: F64
    """(5, branches) LEVEL, SLOPE, P00, P01, P11."""
    kind: U8
    """What the reading is: columns.Kind."""
    moves: Bool
    """Whether the heaviest hypothesis was another one, or jumped."""
    believes: Bool
    """Whether it takes the reading for good, and is near it."""

    def select(self, rows: I64 | Bool) -> "Branches":
        """These branches."""
        return Branches._make(column[..., rows] for column in self)


def reduce(branches: Branches, belief: Belief, value: F64) -> tuple[Belief, Bool]:
    """Merge the branches that agree, and keep the heaviest.

    While the heaviest takes the reading for wrong, the best of those that believe it remains,
    however improbable it is: it may be right, and then each further reading makes it likelier.

    Args:
        branches: Of all users.
        belief: (users,) Before the reading; its scale and its readings are kept.
        value: (users,) The readings.

    Returns:
        The belief after the reading, and whether its heaviest hypothesis is another one.
    """
    users = value.size
    estimate, is_wrong = branches.estimate, branches.kind > Kind.GOOD
    mass = np.zeros((_HYPOTHESES, users))
    merged = np.zeros((5, _HYPOTHESES, users))
    kind = np.zeros(mass.shape, np.uint8)
    moved, believed = np.zeros((2, *mass.shape), np.bool_)
    rows = np.lexsort((-branches.weight, branches.user))
    for slot in range(_HYPOTHESES):
        if slot == _HYPOTHESES - 1:
            lacking = (kind[0] != Kind.GOOD) & ~believed[1]
            rows = rows[branches.believes[rows] | ~lacking[branches.user[rows]]]
        if not rows.size:
            break
        user, level = branches.user[rows], estimate[LEVEL, rows]
        # The first row of each user is the heaviest.
        begins = np.ones(rows.size, np.bool_)
        np.not_equal(user[1:], user[:-1], out=begins[1:])
        first, place = np.flatnonzero(begins), np.cumsum(begins) - 1
        best, asked = rows[first], user[first]
        around = estimate[:, best]
        agree = np.abs(level - around[LEVEL, place]) < (_AGREE * np.sqrt(around[P00]))[place]
        agree &= is_wrong[rows] == is_wrong[best][place]
        agree |= begins
        part, whole = rows[agree], place[agree]
        weight = branches.weight[part]
        mass[slot, asked] = total_by_user(whole, weight, first.size)
        merged[:, slot, asked] = _moments(whole, weight, estimate[:, part], around)
        kind[slot, asked], moved[slot, asked] = branches.kind[best], branches.moves[best]
        believed[slot, asked] = branches.believes[best]
        rows = rows[~agree]
    order = np.argsort(-mass, axis=0, kind="stable")
    mass, kind = np.take_along_axis(mass, order, 0), np.take_along_axis(kind, order, 0)
    moved, believed = np.take_along_axis(moved, order, 0), np.take_along_axis(believed, order, 0)
    merged = np.take_along_axis(merged, order[None], 1)
    drop = np.where(belief.is_open, _DROP, _DROP_AT_ONCE)
    others, kinds = _keep(mass, merged, kind, believed, drop)
    last = value.astype(np.float32).astype(np.float64)
    after = belief._replace(estimate=merged[:, 0], others=others, kinds=kinds, last=last)
    last[~after.is_open] = 0.0
    return after, moved[0]


def _keep(mass: F64, merged: F64, kind: U8, believed: Bool, drop: F64) -> tuple[F64, U8]:
    """Drop what is too light, and round the rest; the hypotheses come heaviest first."""
    relative = mass[1:] / mass[0]
    lacking = (kind[0] != Kind.GOOD) & ~(believed[1] & (relative[0] > drop))
    remains = (relative > drop) | (lacking & believed[1:] & (relative > 0.0))
    others = np.concatenate((merged[:, 1:].swapaxes(0, 1), relative[:, None]), axis=1)
    # The second may be dropped and the third remain.
    third = np.flatnonzero(remains[1] & ~remains[0])
    others[0][:, third], kind[1, third] = others[1][:, third], kind[2, third]
    remains[0, third], remains[1, third] = True, False
    others[~np.broadcast_to(remains[:, None], others.shape)] = 0.0
    kind[1:][~remains] = Kind.GOOD
    return rounded(others), kind


def moments(user: I64, weight: F64, estimate: F64, users: int) -> F64:
    """Mean and covariance of each user's hypotheses together, (5, users).

    Args:
        user: (hypotheses,) Whose each is; the first ones are those of user 0, 1, 2 ...
        weight: (hypotheses,)
        estimate: (5, hypotheses)
        users: How many there are.
    """
    if user.size == users:
        return estimate
    return _moments(user, weight, estimate, estimate[:, :users])


def _moments(place: I64, weight: F64, estimate: F64, around: F64) -> F64:
    """Mean and covariance of mixtures, each computed around one of its parts.

    Args:
        place: (parts,) To which mixture each belongs.
        weight: (parts,)
        estimate: (5, parts)
        around: (5, mixtures) The result, to the bit, where all weight is that part's.
    """
    mixtures = around.shape[1]
    if place.size == mixtures:
        return around
    near = around[:, place]
    level, slope = estimate[LEVEL] - near[LEVEL], estimate[SLOPE] - near[SLOPE]
    terms = (
        level,
        slope,
        level * level + (estimate[P00] - near[P00]),
        level * slope + (estimate[P01] - near[P01]),
        slope * slope + (estimate[P11] - near[P11]),
    )
    total = total_by_user(place, weight, mixtures)
    level, slope, p00, p01, p11 = (
        total_by_user(place, weight * term, mixtures) / total for term in terms
    )
    p00 = np.maximum(around[P00] + (p00 - level * level), 0.0)
    p11 = np.maximum(around[P11] + (p11 - slope * slope), 0.0)
    # A covariance below zero could lose all its digits in a prediction. Zero is on the safe side.
    p01 = np.minimum(np.maximum(around[P01] + (p01 - level * slope), 0.0), np.sqrt(p00 * p11))
    alone = np.bincount(place, minlength=mixtures) == 1
    result = np.stack((around[LEVEL] + level, around[SLOPE] + slope, p00, p01, p11))
    result[:, alone] = around[:, alone]
    return result


def total_by_user(user: I64, weight: F64, users: int) -> F64:
    """The sum of each user's weights, in their order."""
    return np.asarray(np.bincount(user, weight, users), np.float64)


def rounded(others: F64) -> F64:
    """Hypotheses as the state stores them: a level of 64 bits, 32 for the rest, 16 for a weight."""
    weight = others[:, WEIGHT]
    # Below this, 32 bits could make a weight zero, and a hypothesis without one is not sound.
    others[:, WEIGHT] = np.where(weight > 0.0, np.maximum(weight, _LIGHTEST), 0.0)
    short = np.minimum(others, _LARGEST).astype(np.float32)
    upper = short[:, WEIGHT].view(np.uint32) & np.uint32(0xFFFF0000)
    short[:, WEIGHT] = upper.view(np.float32)
    result = short.astype(np.float64)
    result[:, LEVEL] = others[:, LEVEL]
    # Rounding must not make a covariance that is none.
    largest = np.sqrt(result[:, P00] * result[:, P11]) * (1.0 - 2.0**-23)
    result[:, P01] = np.minimum(result[:, P01], largest).astype(np.float32)
    return result
