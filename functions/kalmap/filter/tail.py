"""The forward pass for one user: the same operations in the same order, on plain floats.

IEEE 754 gives +, -, *, / the same bits here as in numpy's loops, so which of the two filtered a
user never shows. tests/property/test_widths.py holds the two together.
"""

from math import nan
from struct import Struct

import numpy as np

from kalmap.filter import algebra
from kalmap.filter.algebra import STEADY_BELOW, Estimate, Transition, fits_in_another_unit
from kalmap.filter.columns import RESTARTED, Recovery
from kalmap.filter.gate import Rules
from kalmap.filter.path import Inputs, Path
from kalmap.outcome import Reason
from kalmap.readings import F64

_TOO_FAST = int(Reason.IMPLAUSIBLE_RATE)
_OUTLIER = int(Reason.OUTLIER)
_SUSPECT = int(Reason.UNIT_SUSPECT)
#: What is written of a reading: level, slope, p00, p01, p11, predicted, NIS, rate.
_ROW = Struct("8d")

_NO_CANDIDATE = Estimate(0.0, 0.0, 0.0, 0.0, 0.0)


def run(
    rule: Rules,
    inputs: Inputs,
    start: int,
    end: int,
    lane: int,
    known: bool,
    before: F64,
    recovery: Recovery,
    snapshot: int,
    path: Path,
) -> None:
    """Filter one user's readings from `start` to `end` packed, into `path`.

    Args:
        rule: The profile's numbers.
        inputs: Packed.
        start: First packed reading of the user.
        end: After the last.
        lane: The user's place in `recovery`.
        known: False where the first reading starts the filter.
        before: (5,) Level, slope, p00, p01, p11 before the first.
        recovery: Where the user's recovery stands.
        snapshot: After how many of these readings to note the recovery in `path`.
        path: Gets the results.
    """
    here = slice(start, end)
    gate, enough = rule.gate, rule.recovery
    x, v, p00, p01, p11 = before.tolist()
    candidate: Estimate[float] = Estimate._make(recovery.candidate[:, lane].tolist())
    agreeing, support = int(recovery.agreeing[lane]), int(recovery.support[lane])
    numbers = bytearray(_ROW.size * (end - start))
    write, row = _ROW.pack_into, _ROW.size
    marks = bytearray(end - start)
    rows = [part[here].tolist() for part in (*inputs[:3], *inputs.step)]
    for number, (z, r, reach, g, e, q00, q01, q11) in enumerate(zip(*rows, strict=True), 1):
        if not known:
            known = True
            x, v, p00, p01, p11 = z, 0.0, r, 0.0, rule.slope_variance
            predicted, nis, rate = nan, nan, 0.0
            support = 1
        else:
            d = z - x
            rate = d * d / (p00 * gate + reach)
            predicted = g * v + x
            v = e * v
            moved = g * p11 + p01
            p00 = (moved + p01) * g + p00 + q00
            p01 = moved * e + q01
            p11 = p11 * e * e + q11
            d = z - predicted
            inverse = 1.0 / (p00 + r)
            nis = d * d * inverse
            if not (nis > gate or rate > 1.0):
                gain = p01 * inverse
                x = p00 * inverse * d + predicted
                v = gain * d + v
                weight = r * inverse
                new01 = p01 * weight
                if weight < STEADY_BELOW:
                    p11 = algebra.steady_p11(p00, p01, p11, new01)
                else:
                    p11 = p11 - gain * p01
                p00 = p00 * weight
                p01 = new01
                if support < enough:
                    support += 1
                if agreeing:
                    candidate, agreeing = _NO_CANDIDATE, 0
            else:
                x = predicted
                allowed = gate * (p00 + r)
                mark = _TOO_FAST if rate > 1.0 else _OUTLIER
                suspect = fits_in_another_unit(z, predicted, allowed, rule.ratios)
                if suspect:
                    mark = _SUSPECT
                settled = support >= enough
                counts = not (suspect and settled)
                agrees = False
                if agreeing:
                    candidate = algebra.predict(candidate, Transition(g, e, q00, q01, q11))
                    innovation = algebra.innovation(candidate, z, r)
                    agrees = counts and algebra.nis(innovation) <= gate
                if agrees:
                    candidate = algebra.update_steady(candidate, innovation, r)
                    agreeing = min(agreeing + 1, enough)
                elif counts:
                    candidate, agreeing = algebra.restart(z, r, rule.slope_variance), 1
                if counts and agreeing >= enough:
                    if settled and fits_in_another_unit(
                        candidate.level, predicted, allowed, rule.ratios
                    ):
                        mark = _SUSPECT
                    else:
                        mark = RESTARTED
                        x, v, p00, p01, p11 = candidate
                        candidate, agreeing, support = _NO_CANDIDATE, 0, enough
                marks[number - 1] = mark
        write(numbers, row * (number - 1), x, v, p00, p01, p11, predicted, nis, rate)
        if number == snapshot:
            path.recovery.candidate[:, lane] = candidate
            path.recovery.agreeing[lane] = agreeing
            path.recovery.support[lane] = support
    columns = np.frombuffer(numbers).reshape(-1, 8).T
    path.estimate[:, here] = columns[:5]
    path.predicted[here], path.nis[here], path.rate[here] = columns[5:]
    path.mark[here] = np.frombuffer(marks, np.uint8)
