"""The scalar pass: the readings of one user, one after the other.

Here the algebra is written out a second time, on plain floats: a call and a record for each
expression would take several times as long as the arithmetic. IEEE 754 gives +, -, *, / the same
bits here as in numpy's loops, so a user's numbers do not show which pass computed them.
tests/property/test_algebra.py and test_widths.py hold the three together to the bit.
"""

from math import nan
from struct import Struct
from typing import NamedTuple

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import STEADY_BELOW, Estimate, Transition, fits_in_another_unit
from kalmap.filter.columns import RESTARTED, Recovery
from kalmap.filter.packed import Inputs, Path
from kalmap.filter.parameters import Parameters
from kalmap.outcome import Reason

#: Numbers of a reading: level, slope, p00, p01, p11, predicted, NIS, rate.
_ROW = Struct("8d")

_NO_CANDIDATE = Estimate(0.0, 0.0, 0.0, 0.0, 0.0)


class Segment(NamedTuple):
    """Consecutive readings of one user."""

    lane: int
    """The user's position in `recovery` and in `Path.recovery`."""
    positions: slice
    """Their packed positions."""
    estimate: Estimate[float] | None
    """The estimate before them. None: the first reading starts the filter."""
    recovery: Recovery
    """Of all lanes, before the segment; not changed."""
    record_after: int
    """After how many of these readings to record the recovery in the path."""


def run(parameters: Parameters, inputs: Inputs, segment: Segment, path: Path) -> None:
    """Filter a segment.

    Args:
        parameters: The profile's numbers.
        inputs: All readings, packed.
        segment: Which of them, and where the filter stands before them.
        path: Gets the results.
    """
    lane, positions, estimate, recovery, record_after = segment
    gate, needed, slope_variance = parameters.gate, parameters.recovery, parameters.slope_variance
    candidate = Estimate[float](*recovery.candidate[:, lane].tolist())
    agreeing, support = int(recovery.agreeing[lane]), int(recovery.support[lane])
    size = positions.stop - positions.start
    numbers, flags = bytearray(_ROW.size * size), bytearray(size)
    value, noise, reach, steps = inputs.select(positions)
    columns = (column.tolist() for column in (value, noise, reach, *steps))
    if estimate is not None:
        x, v, p00, p01, p11 = estimate
    for index, (z, r, reach_, g, e, q00, q01, q11) in enumerate(zip(*columns, strict=True)):
        if index == 0 and estimate is None:
            x, v, p00, p01, p11 = algebra.restart(z, r, slope_variance)
            predicted, nis, rate, support = nan, nan, 0.0, 1
        else:
            y = z - x
            rate = y * y / (p00 * gate + reach_)  # algebra.rate
            predicted = x + g * v  # algebra.predict
            v = e * v
            moved = p01 + g * p11
            p00 = p00 + g * (p01 + moved) + q00
            p01 = e * moved + q01
            p11 = e * (e * p11) + q11
            y = z - predicted  # algebra.innovation
            precision = 1.0 / (p00 + r)
            nis = y * y * precision  # algebra.nis
            if not (nis > gate or rate > 1.0):
                gain1, weight = p01 * precision, r * precision  # algebra.update
                x = predicted + p00 * precision * y
                v = v + gain1 * y
                updated01 = p01 * weight
                if weight < STEADY_BELOW:
                    p11 = algebra.steady_p11(p00, p01, p11, updated01)
                else:
                    p11 = p11 - gain1 * p01
                p00, p01 = p00 * weight, updated01
                if support < needed:
                    support += 1
                if agreeing:
                    candidate, agreeing = _NO_CANDIDATE, 0
            else:
                x = predicted
                allowed = gate * (p00 + r)
                suspect = fits_in_another_unit(z, predicted, allowed, parameters.ratios)
                flag = int(Reason.IMPLAUSIBLE_RATE if rate > 1.0 else Reason.OUTLIER)
                if suspect:
                    flag = int(Reason.UNIT_SUSPECT)
                established = support >= needed
                counts = not (suspect and established)
                agrees = False
                if agreeing:
                    candidate = algebra.predict(candidate, Transition(g, e, q00, q01, q11))
                    innovation = algebra.innovation(candidate, z, r)
                    agrees = counts and algebra.nis(innovation) <= gate
                if agrees:
                    candidate = algebra.update_steady(candidate, innovation, r)
                    agreeing = min(agreeing + 1, needed)
                elif counts:
                    candidate, agreeing = algebra.restart(z, r, slope_variance), 1
                if counts and agreeing >= needed:
                    if established and fits_in_another_unit(
                        candidate.level, predicted, allowed, parameters.ratios
                    ):
                        flag = int(Reason.UNIT_SUSPECT)
                    else:
                        x, v, p00, p01, p11 = candidate
                        flag, support = RESTARTED, needed
                        candidate, agreeing = _NO_CANDIDATE, 0
                flags[index] = flag
        _ROW.pack_into(numbers, _ROW.size * index, x, v, p00, p01, p11, predicted, nis, rate)
        if index + 1 == record_after:
            path.recovery.candidate[:, lane] = candidate
            path.recovery.agreeing[lane] = agreeing
            path.recovery.support[lane] = support
    *estimates, predictions, nis_, rates = np.frombuffer(numbers).reshape(-1, 8).T
    path.estimate[:, positions] = estimates
    path.predicted[positions], path.nis[positions] = predictions, nis_
    path.rate[positions] = rates
    path.flags[positions] = np.frombuffer(flags, np.uint8)
