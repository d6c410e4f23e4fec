"""The vector pass: one reading of every lane in each step, as expressions over arrays.

A user's numbers are the same bits however many users are beside it, because only +, -, *, / and
comparisons compute them. `scalar` has the same expressions written out, for one user.
"""

from itertools import pairwise

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import STEADY_BELOW, Estimate
from kalmap.filter.packed import Inputs, Packing, Path, Start
from kalmap.filter.parameters import Parameters
from kalmap.filter.recovery import Rejections
from kalmap.readings import F64


def run(parameters: Parameters, packing: Packing, inputs: Inputs, start: Start, path: Path) -> None:
    """Filter all steps of the vector pass.

    Args:
        parameters: The profile's numbers.
        packing: Which lanes are in which step.
        inputs: The readings.
        start: Of each lane; its recovery follows the steps.
        path: Gets the results.
    """
    steps = packing.widths.size
    if not steps:
        return
    gate, needed = parameters.gate, np.uint8(parameters.recovery)
    lanes = np.argsort(start.record_after, kind="stable")
    bounds = np.searchsorted(start.record_after[lanes], np.arange(steps + 2)).tolist()
    rejections = Rejections(parameters, packing, inputs, start.recovery, path)
    estimate = Estimate[F64](*start.estimate)
    for number, (first, last) in enumerate(pairwise(packing.offsets.tolist())):
        here = slice(first, last)
        value, noise, reach, step = inputs.select(here)
        before = Estimate[F64](*(row[: last - first] for row in estimate))
        rate = algebra.rate(before, value, gate, reach)
        prior = algebra.predict(before, step)
        innovation = algebra.innovation(prior, value, noise)
        nis = algebra.nis(innovation)
        rejected = (nis > gate) | (rate > 1.0)
        updated = algebra.update(prior, innovation, noise)
        steady = np.flatnonzero(noise * innovation.precision < STEADY_BELOW)
        if steady.size:
            updated.p11[steady] = algebra.steady_p11(
                prior.p00[steady], prior.p01[steady], prior.p11[steady], updated.p01[steady]
            )
        estimate = Estimate[F64](*path.estimate[:, here])
        for row, numbers in zip(estimate, updated, strict=True):
            row[:] = numbers
        if number == 0 and not start.exists.all():
            new = np.flatnonzero(~start.exists)
            begun = algebra.restart(value[new], noise[new], parameters.slope_variance)
            for row, numbers in zip(estimate, begun, strict=True):
                row[new] = numbers
            rejected[new], rate[new] = False, 0.0
            prior.level[new] = nis[new] = np.nan
        path.predicted[here], path.nis[here], path.rate[here] = prior.level, nis, rate
        support = start.recovery.support[: last - first]
        np.minimum(support + ~rejected, needed, out=support)
        outside = np.flatnonzero(rejected)
        if outside.size:
            for row, numbers in zip(estimate, prior, strict=True):
                row[outside] = numbers[outside]
        rejections.step(number, outside)
        recorded = lanes[bounds[number + 1] : bounds[number + 2]]
        if recorded.size:
            rejections.record(number, recorded)
    rejections.finish()
