"""Of one user's branches, the three hypotheses that remain: `reduction` on plain floats.

tests/property/test_widths.py holds both together to the bit.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra, reduction
from kalmap.filter.algebra import Estimate, Innovation
from kalmap.filter.columns import OTHERS, Kind
from kalmap.filter.one_user import Hypothesis


class Branch(NamedTuple):
    """What a reading may be."""

    weight: float
    prior: Estimate[float]
    innovation: Innovation[float] | None
    """Of what the filter takes in; None if the prior is the estimate."""
    kind: int
    moves: bool
    believes: bool


class _Group(NamedTuple):
    """Branches that agree."""

    weight: float
    estimate: Estimate[float]
    kind: int
    moves: bool
    believes: bool


def heaviest_first(
    branches: list[Branch], weights: list[float], wrong: float, r: float
) -> list[_Group]:
    """The branches that matter, with their estimates, the heaviest first."""
    may_be_wrong = wrong > reduction.MAY_BE_WRONG
    found = []
    for weight, (_, prior, innovation, kind, moves, believes) in zip(
        weights, branches, strict=True
    ):
        if weight > reduction.NEGLIGIBLE or (believes and may_be_wrong and weight > 0.0):
            estimate = prior
            if innovation is not None:
                estimate = algebra.update_steady(prior, innovation, r)
            found.append(_Group(weight, estimate, kind, moves, believes))
    found.sort(key=lambda branch: -branch.weight)
    return found


def reduce(left: list[_Group], *, is_open: bool) -> tuple[list[Hypothesis], bool]:
    """The hypotheses that remain, and whether the heaviest is another one: `reduction.reduce`."""
    groups: list[_Group] = []
    while left and len(groups) <= OTHERS:
        if len(groups) == OTHERS and groups[0].kind != Kind.GOOD and not groups[1].believes:
            left = [branch for branch in left if branch.believes]
            if not left:
                break
        best = left[0]
        level, is_wrong = best.estimate.level, best.kind > Kind.GOOD
        near = reduction.AGREE * sqrt(best.estimate.p00)
        agreeing = [best]
        rest: list[_Group] = []
        for branch in left[1:]:
            agrees = abs(branch.estimate.level - level) < near
            agrees = agrees and (branch.kind > Kind.GOOD) == is_wrong
            (agreeing if agrees else rest).append(branch)
        weights = [branch.weight for branch in agreeing]
        merged = mixture(weights, [branch.estimate for branch in agreeing], best.estimate)
        groups.append(best._replace(weight=total_of(weights), estimate=merged))
        left = rest
    groups.sort(key=lambda branch: -branch.weight)
    heaviest = groups[0]
    relative = [branch.weight / heaviest.weight for branch in groups]
    drop = reduction.DROP if is_open else reduction.DROP_AT_ONCE
    lacking = heaviest.kind != Kind.GOOD and not (
        len(groups) > 1 and groups[1].believes and relative[1] > drop
    )
    kept = [Hypothesis(1.0, heaviest.kind, heaviest.estimate)]
    for branch, weight in zip(groups[1:], relative[1:], strict=True):
        if weight > drop or (lacking and branch.believes and weight > 0.0):
            kept.append(_rounded(weight, branch))
    return kept, heaviest.moves


def _rounded(weight: float, branch: _Group) -> Hypothesis:
    """A hypothesis as the state stores it: `reduction.rounded`."""
    level, *others = branch.estimate
    slope, p00, p01, p11 = (short(min(number, reduction.LARGEST)) for number in others)
    p01 = short(min(p01, sqrt(p00 * p11) * (1.0 - 2.0**-23)))
    upper = np.float32(max(weight, reduction.LIGHTEST)).view(np.uint32) & np.uint32(0xFFFF0000)
    return Hypothesis(
        float(upper.view(np.float32)), branch.kind, Estimate(level, slope, p00, p01, p11)
    )


def mixture(
    weights: list[float], estimates: list[Estimate[float]], around: Estimate[float]
) -> Estimate[float]:
    """Mean and covariance of a mixture: `reduction.mixture`."""
    if len(weights) == 1:
        return around
    total = level = slope = p00 = p01 = p11 = 0.0
    for weight, estimate in zip(weights, estimates, strict=True):
        away, turn = estimate.level - around.level, estimate.slope - around.slope
        total += weight
        level += away * weight
        slope += turn * weight
        p00 += (estimate.p00 - around.p00 + away * away) * weight
        p01 += (estimate.p01 - around.p01 + away * turn) * weight
        p11 += (estimate.p11 - around.p11 + turn * turn) * weight
    level, slope = level / total, slope / total
    p00 = max(p00 / total - level * level + around.p00, 0.0)
    p01 = max(p01 / total - level * slope + around.p01, 0.0)
    p11 = max(p11 / total - slope * slope + around.p11, 0.0)
    return Estimate(level + around.level, slope + around.slope, p00, min(p01, sqrt(p00 * p11)), p11)


def total_of(numbers: list[float]) -> float:
    """Their sum, one after the other: Python's `sum` compensates for rounding since 3.12."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def short(number: float) -> float:
    """The number as 32 bits hold it."""
    return float(np.float32(number))
