"""Why a reading was rejected, in words."""

import math

from kalmap import units
from kalmap.outcome import Reason
from kalmap_cli.reporting.words import REASONS, rounded, with_margin

#: Significant digits of an expected value whose margin is not known.
_DIGITS = 4


def why_rejected(
    value: float, unit: str, reason: str | None, expected: float, margin: float = math.nan
) -> str:
    """Say why, such as `179.5 kg would be 81.4 if it was in lb, where 81.2 was expected`.

    Args:
        value: The reading's.
        unit: The profile's.
        reason: As results name it.
        expected: What the filter expected; NaN if it had not looked at the reading.
        margin: Half the width of the interval of what was expected; NaN if it is not known.
    """
    reading = f"{value:.5g} {units.shown(unit)}"
    if math.isnan(expected):
        return f"{reading}: {REASONS.get(reason or '', reason)}"
    where = rounded(expected, _DIGITS) if math.isnan(margin) else with_margin(expected, margin)
    guess = _right_in(value, unit, expected) if reason == Reason.UNIT_SUSPECT.label else ""
    return f"{reading}{guess}, where {where} was expected"


def _right_in(value: float, unit: str, expected: float) -> str:
    """The mix-up of units that brings a reading nearest to what was expected."""
    guesses: list[tuple[float, str]] = []
    for other in units.KNOWN:
        change = units.conversion(other, unit)
        if change is None or change.factor == 1.0 or change.offset:
            continue
        for converted, words in (
            (value * change.factor, f" would be {{:.5g}} if it was in {units.shown(other)}"),
            (
                value / change.factor,
                f" would be {{:.5g}} without a conversion from {units.shown(other)}",
            ),
        ):
            guesses.append((abs(converted - expected), words.format(converted)))
    return min(guesses)[1] if guesses else ""
