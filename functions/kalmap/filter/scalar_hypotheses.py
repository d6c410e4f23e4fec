"""Hypotheses of one user: `hypotheses` and `reduction`, written out on plain floats.

For a few users a call of numpy takes longer than its arithmetic. Here are the same expressions in
the same order, so a user's numbers do not show which of the two computed them:
tests/property/test_widths.py holds them together to the bit.
"""

from bisect import bisect_right
from math import sqrt

from kalmap.filter import algebra, hypotheses, noise
from kalmap.filter.algebra import Estimate, Transition
from kalmap.filter.columns import Belief, Kind
from kalmap.filter.noise import LEAST_SCALE, MOST_SURPRISE, NORMAL, POPULATION
from kalmap.filter.one_user import Hypothesis, OneBelief, OneReading, OneWeighed, join, one_belief
from kalmap.filter.packed import Inputs, Weighed
from kalmap.filter.parameters import Parameters
from kalmap.filter.scalar_reduction import Branch, heaviest_first, mixture, reduce, short, total_of
from kalmap.readings import Bool

_AT_ZERO, _FREEDOM = noise.AT_ZERO.tolist(), noise.FREEDOM.tolist()
_NEXT = noise.NEXT.tolist()


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


def weigh(parameters: Parameters, belief: OneBelief, reading: OneReading) -> OneWeighed:
    """Fold a reading into a user's hypotheses: `hypotheses.weigh`."""
    value, base, step, is_first = reading
    r = base * belief.scale
    shares = _shares(belief.hypotheses)
    priors = [algebra.predict(hypothesis.estimate, step) for hypothesis in belief.hypotheses]
    predicted = mixture(shares, priors, priors[0])
    innovation = algebra.innovation(predicted, value, r)

    branches = _branches(parameters, belief, reading, shares, priors)
    density = max(total_of([branch.weight for branch in branches]), 1e-300)
    weights = [branch.weight / density for branch in branches]
    wrong_unit = total_of(
        [weight for weight, branch in zip(weights, branches, strict=True)
         if branch.kind == Kind.WRONG_UNIT]
    )  # fmt: skip
    wrong = wrong_unit + total_of(
        [weight for weight, branch in zip(weights, branches, strict=True)
         if branch.kind == Kind.WRONG]
    )  # fmt: skip
    heaviest = heaviest_first(branches, weights, wrong, r)
    kept, restarted = reduce(heaviest, is_open=belief.is_open)
    scale, readings = belief.scale, belief.readings
    if not is_first:
        good = weights[: len(priors)]
        readings = min(readings + round(4.0 * total_of(good)) / 4.0, parameters.memory)
        if parameters.learns:
            surprise = 0.0
            for weight, prior in zip(good, priors, strict=True):
                nis = algebra.nis(algebra.innovation(prior, value, r))
                surprise += weight * (min(nis, MOST_SURPRISE) - 1.0)
            factor = 1.0 + surprise / (readings + parameters.prior)
            scale = max(scale * factor, LEAST_SCALE)
    after = OneBelief(kept, 0.0, scale, readings)
    if after.is_open:
        after = after._replace(last=short(value))
    estimates = [hypothesis.estimate for hypothesis in kept]
    return OneWeighed(
        after,
        mixture(_shares(kept), estimates, estimates[0]),
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
) -> list[Branch]:
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
            Branch(
                _student_t(squared, prior.p00 + r, squarings) * odds,
                prior,
                innovation,
                kind,
                moves,
                kind == Kind.GOOD and near < hypotheses.BELIEVES * hypotheses.BELIEVES,
            )
        )

    found: list[Branch] = []
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
        found.append(Branch(weight, prior, None, Kind.WRONG, row > 0, False))
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
) -> Branch:
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
    return Branch(density * odds, prior, innovation, Kind.GOOD, True, True)


def _shares(those: list[Hypothesis]) -> list[float]:
    total = total_of([hypothesis.weight for hypothesis in those])
    return [hypothesis.weight / total for hypothesis in those]


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
