"""The vector pass: one reading of every lane in each step, as expressions over arrays.

Most readings are near their prediction, and most users have one hypothesis: these lanes take the
reading in, all at once. The lanes whose reading raises a question, and those with one that is still
open, are weighed in `hypotheses`.

A user's numbers are the same bits however many users are beside it, because only +, -, *, /, square
roots and comparisons compute them. `scalar` has the same expressions written out, for one user.
"""

from itertools import pairwise

import numpy as np

from kalmap.filter import algebra, hypotheses, noise, scalar_hypotheses
from kalmap.filter.algebra import STEADY_BELOW, Estimate
from kalmap.filter.columns import Belief
from kalmap.filter.packed import Inputs, Packing, Path, Start
from kalmap.filter.parameters import Parameters
from kalmap.readings import F64, I64, Bool

#: Up to so many readings are weighed one by one: numpy's own cost is higher.
FEW = 6


def run(parameters: Parameters, packing: Packing, inputs: Inputs, start: Start, path: Path) -> None:
    """Filter all steps of the vector pass.

    Args:
        parameters: The profile's numbers.
        packing: Which lanes are in which step.
        inputs: The readings.
        start: Of each lane; its belief follows the steps.
        path: Gets the results.
    """
    steps = packing.widths.size
    if not steps:
        return
    lanes = np.argsort(start.record_after, kind="stable")
    bounds = np.searchsorted(start.record_after[lanes], np.arange(steps + 2)).tolist()
    belief, is_open = start.belief, start.belief.is_open
    open_lanes, new = np.flatnonzero(is_open), np.flatnonzero(~start.exists)
    if parameters.population is not None:
        belief.estimate[:, new] = np.array(parameters.population)[:, None]
    estimate = Estimate[F64](*belief.estimate)
    for number, (first, last) in enumerate(pairwise(packing.offsets.tolist())):
        here, width = slice(first, last), last - first
        value, base, step = inputs.select(here)
        before = Estimate[F64](*(row[:width] for row in estimate))
        scale, readings = belief.scale[:width], belief.readings[:width]
        variance = base * scale
        prior = algebra.predict(before, step)
        innovation = algebra.innovation(prior, value, variance)
        nis = algebra.nis(innovation)
        updated = algebra.update(prior, innovation, variance)
        steady = np.flatnonzero(variance * innovation.precision < STEADY_BELOW)
        if steady.size:
            updated.p11[steady] = algebra.steady_p11(
                prior.p00[steady], prior.p01[steady], prior.p11[steady], updated.p01[steady]
            )
        doubtful = nis > parameters.doubt
        if open_lanes.size:
            doubtful[open_lanes[: np.searchsorted(open_lanes, width)]] = True
        if number == 0 and new.size and parameters.population is None:
            begun = algebra.restart(
                value[new], variance[new], parameters.slope_mean, parameters.slope_variance
            )
            for row, numbers in zip(updated, begun, strict=True):
                row[new] = numbers
            doubtful[new] = False
        asked = np.flatnonzero(doubtful)
        if asked.size:
            closed = asked[~is_open[asked]]
            for row, numbers in zip(belief.estimate, before, strict=True):
                row[closed] = numbers[closed]
            asking = belief.select(asked)
        noise_before = (scale[new], readings[new]) if number == 0 else None
        noise.learn(parameters, scale, readings, nis)
        if noise_before is not None:
            # How far a first reading is from the population says nothing of the user's noise.
            scale[new], readings[new] = noise_before
        estimate = Estimate[F64](*path.estimate[:, here])
        for row, numbers in zip(estimate, updated, strict=True):
            row[:] = numbers
        path.predicted[here], path.nis[here] = prior.level, nis
        path.precision[here], path.readings[here] = innovation.precision, readings
        if number == 0:
            for column in (path.predicted, path.nis):
                column[new] = np.nan
            if parameters.population is None:
                path.precision[new] = np.nan
        if asked.size:
            few = asked.size <= FEW
            weighed = (scalar_hypotheses.weigh_each if few else hypotheses.weigh)(
                parameters, asking, inputs.select(first + asked),
                ~start.exists[asked] if number == 0 else np.zeros(asked.size, np.bool_),
            )  # fmt: skip
            path.put(first + asked, weighed)
            belief.put(asked, weighed.belief)
            is_open[asked] = weighed.belief.is_open
            open_lanes = asked[is_open[asked]]
        recorded = lanes[bounds[number + 1] : bounds[number + 2]]
        if recorded.size:
            _note(belief, is_open, estimate, recorded)
            path.recorded.put(packing.users[recorded], belief.select(recorded))
    _note(belief, is_open, estimate, np.arange(packing.longer))


def _note(belief: Belief, is_open: Bool, estimate: Estimate[F64], lanes: I64) -> None:
    """Bring these lanes' beliefs up to date: where nothing is open, the path alone is followed."""
    closed = lanes[~is_open[lanes]]
    for row, numbers in zip(belief.estimate, estimate, strict=True):
        row[closed] = numbers[closed]
