"""The scalar pass: the readings of one user, one after the other.

Here the algebra is written out a second time, on plain floats: a call and a record for each
expression would take several times as long as the arithmetic. IEEE 754 gives +, -, *, / the same
bits here as in numpy's loops, so a user's numbers do not show which pass computed them.
tests/property/test_algebra.py and test_widths.py hold the three together to the bit. A reading that
raises a question is weighed in `scalar_hypotheses`.
"""

from math import nan
from struct import Struct
from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra, scalar_hypotheses
from kalmap.filter.algebra import STEADY_BELOW, Estimate, Transition
from kalmap.filter.columns import Belief, Kind
from kalmap.filter.noise import LEAST_SCALE, MOST_SURPRISE
from kalmap.filter.one_user import (
    Hypothesis,
    OneBelief,
    OneReading,
    OneWeighed,
    join,
    join_beliefs,
    one_belief,
)
from kalmap.filter.packed import Inputs, Path
from kalmap.filter.parameters import Parameters

#: Numbers of a reading: level, slope, p00, p01, p11, readings, predicted, NIS, precision.
_ROW = Struct("9d")


class Segment(NamedTuple):
    """Consecutive readings of one user."""

    user: int
    """The user's position in `Path.recorded`."""
    positions: slice
    """Their packed positions."""
    exists: bool
    """Whether there is a belief. If not, the first reading starts the filter."""
    belief: Belief
    """Of this user, before the segment; not changed."""
    record_after: int
    """After how many of these readings to record the belief in the path."""


def run(parameters: Parameters, inputs: Inputs, segment: Segment, path: Path) -> None:
    """Filter a segment.

    Args:
        parameters: The profile's numbers.
        inputs: All readings, packed.
        segment: Which of them, and where the filter stands before them.
        path: Gets the results.
    """
    user, positions, exists, stored, record_after = segment
    belief = one_belief(stored, 0)
    doubt, memory, prior_readings = parameters.doubt, parameters.memory, parameters.prior
    learns = parameters.learns
    size = positions.stop - positions.start
    numbers = bytearray(_ROW.size * size)
    asked: list[int] = []
    answers: list[OneWeighed] = []
    value, noise, step = inputs.select(positions)
    drifts = step.level_drift is not None
    drift = np.zeros(size) if step.level_drift is None else step.level_drift
    pull = np.zeros(size) if step.slope_drift is None else step.slope_drift
    columns = (column.tolist() for column in (value, noise, *step[:5], drift, pull))
    x, v, p00, p01, p11 = belief.hypotheses[0].estimate
    scale, readings, is_open = belief.scale, belief.readings, belief.is_open
    if not exists and parameters.population is not None:
        x, v, p00, p01, p11 = parameters.population
    for index, (z, base, g, e, q00, q01, q11, dx, dv) in enumerate(zip(*columns, strict=True)):
        is_first = index == 0 and not exists
        r = base * scale
        before = x, v, p00, p01, p11
        if is_first and parameters.population is None:
            x, v, p00, p01, p11 = algebra.restart(
                z, r, parameters.slope_mean, parameters.slope_variance
            )
            predicted, nis, precision = nan, nan, nan
        else:
            predicted = x + g * v  # algebra.predict
            v = e * v
            if drifts:
                predicted, v = predicted + dx, v + dv
            moved = p01 + g * p11
            p00 = p00 + g * (p01 + moved) + q00
            p01 = e * moved + q01
            p11 = e * (e * p11) + q11
            y = z - predicted  # algebra.innovation
            precision = 1.0 / (p00 + r)
            nis = y * y * precision  # algebra.nis
            if is_open or nis > doubt:
                if not is_open:
                    belief = _single(before, scale, readings)
                step_here = Transition(g, e, q00, q01, q11, *((dx, dv) if drifts else ()))
                weighed = scalar_hypotheses.weigh(
                    parameters, belief, OneReading(z, base, step_here, is_first)
                )
                belief, is_open = weighed.belief, weighed.belief.is_open
                asked.append(positions.start + index)
                answers.append(weighed)
                x, v, p00, p01, p11 = belief.hypotheses[0].estimate
                scale, readings = belief.scale, belief.readings
            else:
                gain1, weight = p01 * precision, r * precision  # algebra.update
                x = predicted + p00 * precision * y
                v = v + gain1 * y
                updated01 = p01 * weight
                if weight < STEADY_BELOW:
                    p11 = algebra.steady_p11(p00, p01, p11, updated01)
                else:
                    p11 = p11 - gain1 * p01
                p00, p01 = p00 * weight, updated01
                if not is_first:
                    readings = min(readings + 1.0, memory)  # noise.learn
                    if learns:
                        factor = (min(nis, MOST_SURPRISE) - 1.0) / (readings + prior_readings) + 1.0
                        scale = max(scale * factor, LEAST_SCALE)
            if is_first:
                predicted = nis = nan
        _ROW.pack_into(
            numbers, _ROW.size * index, x, v, p00, p01, p11, readings, predicted, nis, precision
        )
        if index + 1 == record_after:
            if not is_open:
                belief = _single((x, v, p00, p01, p11), scale, readings)
            path.recorded.put(np.array([user]), join_beliefs([belief]))
    *estimates, readings_, predictions, nis_, precisions = np.frombuffer(numbers).reshape(-1, 9).T
    path.estimate[:, positions] = estimates
    path.readings[positions], path.predicted[positions] = readings_, predictions
    path.nis[positions], path.precision[positions] = nis_, precisions
    if asked:
        path.put(np.array(asked), join(answers))


def _single(estimate: tuple[float, ...], scale: float, readings: float) -> OneBelief:
    """The belief of a user who has one hypothesis, which takes the last reading for good."""
    return OneBelief([Hypothesis(1.0, Kind.GOOD, Estimate(*estimate))], 0.0, scale, readings)
