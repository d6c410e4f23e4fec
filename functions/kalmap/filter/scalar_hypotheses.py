"""Hypotheses of one user: `hypotheses` and `reduction`, written out on plain floats.

For a few users a call of numpy takes longer than its arithmetic. Here are the same expressions in
the same order, so a user's numbers do not show which of the two computed them:
tests/property/test_widths.py holds them together to the bit.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra, hypotheses, noise, reduction
from kalmap.filter.algebra import Estimate, Innovation, Transition
from kalmap.filter.columns import OTHERS, WEIGHT, Belief, Kind, empty_belief
from kalmap.filter.noise import LEAST_SCALE, MOST_SURPRISE, NORMAL, POPULATION
from kalmap.filter.packed import Inputs, Weighed
from kalmap.filter.parameters import Parameters
from kalmap.readings import Bool

_AT_ZERO, _FREEDOM = noise.AT_ZERO.tolist(), noise.FREEDOM.tolist()
_NEXT = noise.NEXT.tolist()


class Hypothesis(NamedTuple):
    """One hypothesis."""

    weight: float
    """Over the heaviest one's."""
    kind: int
    estimate: Estimate[float]


class OneBelief(NamedTuple):
    """What a user's filter holds to be true: a `Belief`."""

    hypotheses: list[Hypothesis]
    """The heaviest first."""
    last: float
    scale: float
    readings: float

    @property
    def is_open(self) -> bool:
        """Whether there is something to weigh: other hypotheses, or a wrong reading."""
        return len(self.hypotheses) > 1 or self.hypotheses[0].kind > 0


class OneReading(NamedTuple):
    """One reading of a user."""

    value: float
    noise: float
    """R of a typical user."""
    step: Transition[float]
    is_first: bool


class OneWeighed(NamedTuple):
    """What became of it: `Weighed`."""

    belief: OneBelief
    mixture: Estimate[float]
    predicted: float
    nis: float
    precision: float
    wrong: float
    wrong_unit: bool
    restarted: bool
    density: float


class _Branch(NamedTuple):
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


def weigh_each(parameters: Parameters, belief: Belief, inputs: Inputs, is_first: Bool) -> Weighed:
    """`hypotheses.weigh`, one user after the other."""
    value, base, step = inputs
    columns = ([None] * value.size if part is None else part.tolist() for part in step)
    steps = (Transition(*parts) for parts in zip(*columns, strict=True))
    readings = zip(value.tolist(), base.tolist(), steps, is_first.tolist(), strict=True)
    return join(
        [
            weigh(parameters, one_belief(belief, user), OneReading(*reading))
            for user, reading in enumerate(readings)
        ]
    )


def one_belief(belief: Belief, user: int) -> OneBelief:
    """The belief of one user."""
    weights = belief.others[:, WEIGHT, user].tolist()
    columns = [belief.estimate[:, user], *belief.others[:, :WEIGHT, user]]
    those = zip((1.0, *weights), belief.kinds[:, user].tolist(), columns, strict=True)
    found = [
        Hypothesis(weight, kind, Estimate(*column.tolist()))
        for weight, kind, column in those if weight > 0.0
    ]  # fmt: skip
    return OneBelief(
        found, float(belief.last[user]), float(belief.scale[user]), float(belief.readings[user])
    )


def join_beliefs(beliefs: Sequence[OneBelief]) -> Belief:
    """The beliefs of users as columns."""
    joined = empty_belief(len(beliefs))
    for user, (those, *numbers) in enumerate(beliefs):
        joined.estimate[:, user] = those[0].estimate
        joined.kinds[: len(those), user] = [hypothesis.kind for hypothesis in those]
        for number, hypothesis in enumerate(those[1:]):
            joined.others[number, :, user] = (*hypothesis.estimate, hypothesis.weight)
        joined.last[user], joined.scale[user], joined.readings[user] = numbers
    return joined


def join(weighed: Sequence[OneWeighed]) -> Weighed:
    """What became of readings, as columns."""
    beliefs, mixtures, *columns = zip(*weighed, strict=True)
    return Weighed(
        join_beliefs(beliefs), np.array(mixtures).T, *(np.array(column) for column in columns)
    )


def weigh(parameters: Parameters, belief: OneBelief, reading: OneReading) -> OneWeighed:
    """Fold a reading into a user's hypotheses: `hypotheses.weigh`."""
    value, base, step, is_first = reading
    r = base * belief.scale
    shares = _shares(belief.hypotheses)
    priors = [algebra.predict(hypothesis.estimate, step) for hypothesis in belief.hypotheses]
    predicted = _mixture(shares, priors, priors[0])
    innovation = algebra.innovation(predicted, value, r)

    branches = _branches(parameters, belief, reading, shares, priors)
    density = max(_total([branch.weight for branch in branches]), 1e-300)
    weights = [branch.weight / density for branch in branches]
    wrong_unit = _total(
        [weight for weight, branch in zip(weights, branches, strict=True)
         if branch.kind == Kind.WRONG_UNIT]
    )  # fmt: skip
    wrong = wrong_unit + _total(
        [weight for weight, branch in zip(weights, branches, strict=True)
         if branch.kind == Kind.WRONG]
    )  # fmt: skip
    heaviest = _heaviest(branches, weights, wrong, r)
    kept, restarted = _reduce(heaviest, is_open=belief.is_open)
    scale, readings = belief.scale, belief.readings
    if not is_first:
        good = weights[: len(priors)]
        readings = min(readings + round(4.0 * _total(good)) / 4.0, parameters.memory)
        if parameters.learns:
            surprise = 0.0
            for weight, prior in zip(good, priors, strict=True):
                nis = algebra.nis(algebra.innovation(prior, value, r))
                surprise += weight * (min(nis, MOST_SURPRISE) - 1.0)
            factor = 1.0 + surprise / (readings + parameters.prior)
            scale = max(scale * factor, LEAST_SCALE)
    after = OneBelief(kept, 0.0, scale, readings)
    if after.is_open:
        after = after._replace(last=_short(value))
    estimates = [hypothesis.estimate for hypothesis in kept]
    return OneWeighed(
        after,
        _mixture(_shares(kept), estimates, estimates[0]),
        float("nan") if is_first else predicted.level,
        float("nan") if is_first else algebra.nis(innovation),
        innovation.precision,
        wrong,
        wrong_unit > wrong - wrong_unit,
        restarted,
        density,
    )


def _branches(
    parameters: Parameters,
    belief: OneBelief,
    reading: OneReading,
    shares: list[float],
    priors: list[Estimate[float]],
) -> list[_Branch]:
    """The branches of a reading, in the order of `branch_table.Sort`; weights do not add up."""
    value, base, step, is_first = reading
    r, ratios = base * belief.scale, parameters.ratios
    is_second = not is_first and belief.readings == 0.0
    at_once = not is_first and step.gain < parameters.occasion_gain
    squarings = POPULATION if is_first else _squarings(parameters, belief.readings)
    jump = 0.0 if is_first else parameters.jump
    odds = [
        _odds(parameters, share, hypothesis.kind, at_once=at_once)
        for share, hypothesis in zip(shares, belief.hypotheses, strict=True)
    ]

    def take_in(
        odds: float,
        prior: Estimate[float],
        target: float,
        *,
        squarings: int = NORMAL,
        kind: Kind = Kind.GOOD,
        moves: bool = True,
    ) -> None:
        innovation = algebra.innovation(prior, target, r)
        squared = innovation.difference * innovation.difference
        near = squared * r * innovation.precision * innovation.precision
        found.append(
            _Branch(
                _student_t(squared, prior.p00 + r, squarings) * odds,
                prior,
                innovation,
                kind,
                moves,
                kind == Kind.GOOD and near < hypotheses.BELIEVES * hypotheses.BELIEVES,
            )
        )

    found: list[_Branch] = []
    for row, prior in enumerate(priors):
        take_in(odds[row][0] * (1.0 - jump), prior, value, squarings=squarings, moves=row > 0)
    right = [value / ratio for ratio in ratios]
    plausible = [_is_plausible(parameters, number) for number in right]
    units = max(sum(plausible), 1)
    for ratio, number, able in zip(ratios, right, plausible, strict=True):
        if able:
            share = 1.0 / (max(ratio, 1.0) * units)
            for row, prior in enumerate(priors):
                weight = odds[row][1] * share
                take_in(
                    weight, prior, number, squarings=squarings, kind=Kind.WRONG_UNIT, moves=row > 0
                )
    for row, (level, slope, p00, p01, p11) in enumerate(priors if jump > 0.0 else ()):
        further = Estimate(level, slope, p00 + parameters.jump_variance, p01, p11)
        take_in(odds[row][0] * jump, further, value)
    before = belief.hypotheses[0].estimate.level
    for ratio in ratios if is_second else ():
        weight = _first_density(parameters, before / ratio) / _first_density(parameters, before)
        weight *= shares[0] * (parameters.fault * parameters.wrong_unit / ratio)
        weight *= _is_plausible(parameters, before / ratio)
        level, slope, p00, p01, p11 = priors[0]
        first = Estimate(level / ratio, slope, p00 / (ratio * ratio), p01 / ratio, p11)
        take_in(weight, first, value)
    found.append(_begun(parameters, reading, r, before, is_second=is_second))
    away = value - belief.last
    drift = step.q00 + step.gain * step.gain * parameters.slope_variance
    same = _student_t(away * away, 2.0 * r + drift, NORMAL)
    elsewhere = _wrong_density(parameters, value)
    for row, prior in enumerate(priors):
        weight = odds[row][3] * elsewhere + odds[row][2] * same
        found.append(_Branch(weight, prior, None, Kind.WRONG, row > 0, False))
    return found


def _odds(
    parameters: Parameters, share: float, kind: int, *, at_once: bool
) -> tuple[float, float, float, float]:
    """`hypotheses._Odds` of one hypothesis: good, in_unit, alike, unlike."""
    fault, wrong_unit = parameters.fault, parameters.wrong_unit
    repeated, like, same_unit = parameters.repeated, hypotheses.ALIKE, hypotheses.UNIT_REPEATED
    if at_once:
        repeated = same_unit = hypotheses.REPEATED_AT_ONCE
        like = hypotheses.ALIKE_AT_ONCE
    is_wrong, in_unit = kind == Kind.WRONG, kind == Kind.WRONG_UNIT
    afresh = repeated * (1.0 - like) if is_wrong else fault
    unlike = ((1.0 - same_unit) * fault if in_unit else afresh) * (1.0 - wrong_unit)
    alike = repeated * like if is_wrong else 0.0
    unit = same_unit if in_unit else afresh * wrong_unit
    return share * (1.0 - unlike - alike - unit), share * unit, share * alike, share * unlike


def _begun(
    parameters: Parameters, reading: OneReading, r: float, before: float, *, is_second: bool
) -> _Branch:
    """The branch that begins at the reading."""
    value, prior, innovation = reading.value, parameters.population, None
    if prior is None:
        prior = algebra.restart(value, r, parameters.slope_mean, parameters.slope_variance)
        density = _first_density(parameters, value)
    else:
        innovation = algebra.innovation(prior, value, r)
        squared = innovation.difference * innovation.difference
        density = _student_t(squared, prior.p00 + r, POPULATION)
    over = _wrong_density(parameters, before) / _first_density(parameters, before)
    was_wrong = parameters.fault * (1.0 - parameters.wrong_unit) * over
    odds = max(was_wrong, hypotheses.RESTART) if is_second else hypotheses.RESTART
    odds = 0.0 if reading.is_first else odds * (1.0 - parameters.fault)
    return _Branch(density * odds, prior, innovation, Kind.GOOD, True, True)


def _heaviest(
    branches: list[_Branch], weights: list[float], wrong: float, r: float
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


def _reduce(left: list[_Group], *, is_open: bool) -> tuple[list[Hypothesis], bool]:
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
        merged = _mixture(weights, [branch.estimate for branch in agreeing], best.estimate)
        groups.append(best._replace(weight=_total(weights), estimate=merged))
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
    slope, p00, p01, p11 = (_short(min(number, reduction.LARGEST)) for number in others)
    p01 = _short(min(p01, sqrt(p00 * p11) * (1.0 - 2.0**-23)))
    upper = np.float32(max(weight, reduction.LIGHTEST)).view(np.uint32) & np.uint32(0xFFFF0000)
    return Hypothesis(
        float(upper.view(np.float32)), branch.kind, Estimate(level, slope, p00, p01, p11)
    )


def _total(numbers: list[float]) -> float:
    """Their sum, one after the other: Python's `sum` compensates for rounding since 3.12."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def _short(number: float) -> float:
    return float(np.float32(number))


def _shares(those: list[Hypothesis]) -> list[float]:
    total = _total([hypothesis.weight for hypothesis in those])
    return [hypothesis.weight / total for hypothesis in those]


def _mixture(
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


def _student_t(squared: float, variance: float, squarings: int) -> float:
    power = 1.0 + squared / (variance * _FREEDOM[squarings])
    for _ in range(squarings):
        power = power * power
    return _AT_ZERO[squarings] / (sqrt(variance) * power)  # type: ignore[no-any-return]


def _squarings(parameters: Parameters, readings: float) -> int:
    if not parameters.learns:
        return NORMAL
    return bisect_right(_NEXT, readings + parameters.prior) + 1


def _is_plausible(parameters: Parameters, value: float) -> bool:
    low, high = parameters.profile.range
    return low <= value <= high


def _first_density(parameters: Parameters, level: float) -> float:
    low, high = parameters.profile.range
    if parameters.population is None:
        return 1.0 / (high - low)
    away = level - parameters.population.level
    return _student_t(away * away, parameters.population.p00, POPULATION)


def _wrong_density(parameters: Parameters, value: float) -> float:
    low, high = parameters.profile.range
    density = 1.0 / (high - low)
    if parameters.population is None:
        return density
    away = value - parameters.population.level
    variance = parameters.population.p00 * hypotheses.WIDER * hypotheses.WIDER
    return 0.5 * density + 0.5 * _student_t(away * away, variance, NORMAL)
