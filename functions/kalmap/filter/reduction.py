"""Reduction: of all branches, the three hypotheses that remain.

Branches that agree are merged by their moments (the Gaussian sum of Alspach and Sorenson, 1972);
the heaviest remain. They are rounded as the state stores them, so that a stored state and the
filter's are the same.
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter.algebra import LEVEL, P00, P01, P11, SLOPE
from kalmap.filter.columns import OTHERS, WEIGHT, Belief, Kind
from kalmap.readings import F64, U8, Bool

#: Branches agree whose levels are within so many standard deviations.
AGREE = 1.0
#: A branch that is less probable is left out, unless it believes a reading that may be wrong.
NEGLIGIBLE, MAY_BE_WRONG = 1e-5, 0.2
#: A hypothesis below this share of the heaviest is dropped; a new question needs a larger share.
DROP, DROP_AT_ONCE = 1e-3, 1e-2
#: The least weight that is kept; the greatest number that is stored in 32 bits.
LIGHTEST, LARGEST = 1e-37, 3e38
_HYPOTHESES = 1 + OTHERS


class Branches(NamedTuple):
    """What the readings of users may be."""

    weight: F64
    """(branches, users) 0 where a user has no such branch. Everyone has one at least."""
    estimate: F64
    """(5, branches, users) LEVEL, SLOPE, P00, P01, P11."""
    kind: U8
    """(branches,) What the reading is: columns.Kind."""
    moves: Bool
    """(branches,) Whether the heaviest hypothesis was another one, or jumped."""
    believes: Bool
    """(branches, users) Whether it takes the reading for good, and is near it."""


def reduce(branches: Branches, wrong: F64, belief: Belief, value: F64) -> tuple[Belief, Bool]:
    """Merge the branches that agree, and keep the heaviest.

    While the heaviest takes the reading for wrong, the best of those that believe it remains,
    however improbable it is: it may be right, and then each further reading makes it likelier.

    Args:
        branches: Of all users.
        wrong: (users,) Probability that the reading is wrong.
        belief: (users,) Before the reading; its scale and its readings are kept.
        value: (users,) The readings.

    Returns:
        The belief after the reading, and whether its heaviest hypothesis is another one.
    """
    matters = (branches.weight > NEGLIGIBLE) | (branches.believes & (wrong > MAY_BE_WRONG))
    left, estimate, kinds, moves, believes = _heaviest(branches, matters)
    is_wrong, near = kinds > Kind.GOOD, AGREE * np.sqrt(estimate[P00])
    everyone = np.arange(value.size)
    best = np.zeros((_HYPOTHESES, value.size), np.int64)
    weight = np.zeros((_HYPOTHESES, *left.shape))
    kind = np.zeros(best.shape, np.uint8)
    believed = np.zeros(best.shape, np.bool_)
    for slot in range(_HYPOTHESES):
        if slot == _HYPOTHESES - 1:
            left *= believes | (kind[0] == Kind.GOOD) | believed[1]
        there = left > 0.0
        best[slot] = there.argmax(axis=0)
        at = best[slot], everyone
        agree = np.abs(estimate[LEVEL] - estimate[LEVEL][at]) < near[at]
        agree &= is_wrong == is_wrong[at]
        agree[at] = True
        np.multiply(left, agree, out=weight[slot])
        left -= weight[slot]
        kind[slot], believed[slot] = kinds[at] * there[at], believes[at] & there[at]
    mass, moved = sum_rows(weight), moves[best, everyone]
    merged = mixture(weight, estimate[:, None], estimate[:, best, everyone])
    if (mass[1:] > mass[:-1]).any():
        order = np.argsort(-mass, axis=0, kind="stable")
        mass, kind = mass[order, everyone], kind[order, everyone]
        believed, moved = believed[order, everyone], moved[order, everyone]
        merged = merged[:, order, everyone]
    drop = np.where(belief.is_open, DROP, DROP_AT_ONCE)
    others, kind = _keep(mass, merged, kind, believed, drop)
    last = value.astype(np.float32).astype(np.float64)
    after = belief._replace(estimate=merged[:, 0], others=others, kinds=kind, last=last)
    last[~after.is_open] = 0.0
    return after, moved[0]


def _heaviest(branches: Branches, matters: Bool) -> tuple[F64, F64, U8, Bool, Bool]:
    """The branches that matter, the heaviest first: as many rows as the user with most has.

    Returns:
        Weights, (rows, users), 0 where there is none; estimates, (5, rows, users); kinds, whether
        they move, and whether they believe, (rows, users).
    """
    weight = branches.weight * matters
    rows = np.count_nonzero(weight, axis=0).max()
    order = np.argsort(-weight, axis=0, kind="stable")[:rows]
    places = order * weight.shape[1] + np.arange(weight.shape[1])
    return (
        weight.ravel().take(places),
        branches.estimate.reshape(5, -1).take(places, axis=1),
        branches.kind.take(order),
        branches.moves.take(order),
        branches.believes.ravel().take(places),
    )


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


def mixture(weight: F64, estimate: F64, around: F64) -> F64:
    """Mean and covariance of mixtures, (5, ..., users).

    Args:
        weight: (..., parts, users)
        estimate: (5, ..., parts, users)
        around: (5, ..., users) One part of each, around which to compute; to the bit the result,
            where all weight is that part's.
    """
    if estimate.shape[-2] == 1:
        return around
    terms = estimate - around[..., None, :]
    level, slope = terms[LEVEL], terms[SLOPE]
    terms[P00] += level * level
    terms[P01] += level * slope
    terms[P11] += slope * slope
    terms *= weight
    total = sum_rows(weight)
    total[total == 0.0] = 1.0
    mean = sum_rows(terms) / total
    level, slope = mean[LEVEL], mean[SLOPE]
    mean[P00] -= level * level
    mean[P01] -= level * slope
    mean[P11] -= slope * slope
    mean += around
    # A covariance below zero could lose all its digits in a prediction. Zero is on the safe side.
    np.maximum(mean[P00:], 0.0, out=mean[P00:])
    np.minimum(mean[P01], np.sqrt(mean[P00] * mean[P11]), out=mean[P01])
    np.copyto(mean, around, where=np.count_nonzero(weight, axis=-2) == 1)
    return mean


def sum_rows(rows: F64) -> F64:
    """The sum over the last axis but one, (..., users), a row after the other.

    So the bits are the same however many users there are.
    """
    if rows.shape[-1] == 1:
        # numpy would take the only column for one row, and add it up in another order.
        none: F64 = np.zeros((*rows.shape[:-2], 1))
        return rows.cumsum(axis=-2)[..., -1, :] if rows.size else none
    total: F64 = rows.sum(axis=-2)
    return total


def rounded(others: F64) -> F64:
    """Hypotheses as the state stores them: a level of 64 bits, 32 for the rest, 16 for a weight."""
    weight = others[:, WEIGHT]
    # Below this, 32 bits could make a weight zero, and a hypothesis without one is not sound.
    others[:, WEIGHT] = np.where(weight > 0.0, np.maximum(weight, LIGHTEST), 0.0)
    short = np.minimum(others, LARGEST).astype(np.float32)
    upper = short[:, WEIGHT].view(np.uint32) & np.uint32(0xFFFF0000)
    short[:, WEIGHT] = upper.view(np.float32)
    result = short.astype(np.float64)
    result[:, LEVEL] = others[:, LEVEL]
    # Rounding must not make a covariance that is none.
    largest = np.sqrt(result[:, P00] * result[:, P11]) * (1.0 - 2.0**-23)
    result[:, P01] = np.minimum(result[:, P01], largest).astype(np.float32)
    return result
