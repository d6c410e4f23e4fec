"""The forward pass for one user: the same operations in the same order, on plain floats.

IEEE 754 gives +, -, *, / the same bits here as in numpy's loops, so which of the two filtered a
user never shows. tests/property/test_widths.py holds the two together.
"""

from math import nan
from struct import Struct

import numpy as np

from kalmap.filter.columns import RESTARTED, Recovery
from kalmap.filter.gate import Rules
from kalmap.filter.path import STEADY_BELOW, Inputs, Path
from kalmap.outcome import Reason
from kalmap.readings import F64

_TOO_FAST = int(Reason.IMPLAUSIBLE_RATE)
_OUTLIER = int(Reason.OUTLIER)
_SUSPECT = int(Reason.UNIT_SUSPECT)
#: What is written of a reading: level, slope, p00, p01, p11, predicted, NIS, rate.
_ROW = Struct("8d")

_Five = tuple[float, float, float, float, float]
_NOTHING: _Five = (0.0, 0.0, 0.0, 0.0, 0.0)


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
    candidate: _Five = tuple(recovery.candidate[:, lane].tolist())
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
                    ratio = p01 / p00
                    p11 = _positive(p11 - ratio * p01) + ratio * new01
                else:
                    p11 = p11 - gain * p01
                p00 = p00 * weight
                p01 = new01
                if support < enough:
                    support += 1
                if agreeing:
                    candidate, agreeing = _NOTHING, 0
            else:
                x = predicted
                variance = p00 + r
                mark = _TOO_FAST if rate > 1.0 else _OUTLIER
                suspect = _fits_in_another_unit(rule, z, predicted, variance)
                if suspect:
                    mark = _SUSPECT
                settled = support >= enough
                counts = not (suspect and settled)
                if agreeing:
                    candidate = _advance(candidate, g, e, q00, q01, q11)
                agreed = _agreed(candidate, z, r, gate) if counts and agreeing else None
                if agreed is not None:
                    candidate, agreeing = agreed, min(agreeing + 1, enough)
                elif counts:
                    candidate, agreeing = (z, 0.0, r, 0.0, rule.slope_variance), 1
                if counts and agreeing >= enough:
                    if settled and _fits_in_another_unit(rule, candidate[0], predicted, variance):
                        mark = _SUSPECT
                    else:
                        mark = RESTARTED
                        x, v, p00, p01, p11 = candidate
                        candidate, agreeing, support = _NOTHING, 0, enough
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


def _positive(number: float) -> float:
    return max(0.0, number)


def _fits_in_another_unit(rule: Rules, value: float, predicted: float, variance: float) -> bool:
    allowed = rule.gate * variance
    if not predicted * predicted > allowed:
        return False
    for ratio in rule.ratios.tolist():
        miss = value * ratio - predicted
        if miss * miss <= allowed:
            return True
    return False


def _advance(candidate: _Five, g: float, e: float, q00: float, q01: float, q11: float) -> _Five:
    """The candidate, predicted over one step."""
    level, slope, p00, p01, p11 = candidate
    moved = p01 + g * p11
    return (
        level + g * slope,
        slope * e,
        p00 + g * (p01 + moved) + q00,
        e * moved + q01,
        e * (e * p11) + q11,
    )


def _agreed(candidate: _Five, z: float, r: float, gate: float) -> _Five | None:
    """The candidate with a reading folded in; None where the reading does not fit it."""
    level, slope, p00, p01, p11 = candidate
    d = z - level
    inverse = 1.0 / (p00 + r)
    if not d * d * inverse <= gate:
        return None
    weight = r * inverse
    new01 = p01 * weight
    ratio = p01 / p00
    given_level = _positive(p11 - ratio * p01)
    return (
        level + p00 * inverse * d,
        slope + p01 * inverse * d,
        p00 * weight,
        new01,
        given_level + ratio * new01,
    )
