"""How true the smoothed levels are, beside the filter's at the same readings."""

import numpy as np

from benchmarks.trials import product, scores, simulators
from benchmarks.trials.series import Series
from kalmap.filter.columns import RESTARTED
from kalmap.filter.course import OneUser
from kalmap.filter.estimates import describe, newest_estimates
from kalmap.filter.noise import squarings_of, width
from kalmap.filter.parameters import parameters_of
from kalmap.filter.smoother import smooth
from kalmap.profile import MAX_WINDOW_READINGS, Profile

WORLDS = {"trend alone": simulators.trend_alone} | {
    name: simulators.WORLDS[name]
    for name in ("clean", "3 % wild", "jump of 8 kg", "runs of 2-4", "all faults")
}
_USERS, _SEED = 150, 1


def table(profile: Profile, source: str) -> str:
    """Every figure as a Markdown table."""
    lines = [
        "| | readings | filter | smoothed | 95 % holds |",
        "|---|---|--:|--:|--:|",
    ]
    for name, simulate in WORLDS.items():
        world = simulate(_SEED, _USERS)
        for label, first, days in (
            ("24, all in the window", 0, MAX_WINDOW_READINGS),
            ("the last 24 of 70", simulators.DAYS - MAX_WINDOW_READINGS, simulators.DAYS),
            ("70, smoothed as a whole", 0, simulators.DAYS),
        ):
            series = _in_range(profile, Series(*(part[:, :days] for part in world.series)))
            whole = label.startswith("70")
            filtered, level, sd = _estimates(profile, series, source, whole=whole)
            shown = np.s_[:, first:days]
            truth = np.where(np.isnan(level), np.nan, world.level[:, :days])[shown]
            holds = scores.coverage(truth, level[shown], sd[shown])
            lines.append(
                f"| {name} | {label} | {scores.rmse(filtered[shown] - truth):.3f} "
                f"| {scores.rmse(level[shown] - truth):.3f} | {100.0 * holds:.1f} |"
            )
    return "\n".join(lines)


def _in_range(profile: Profile, series: Series) -> Series:
    low, high = profile.range
    inside = (series.value >= low) & (series.value <= high)
    return series._replace(value=np.where(inside, series.value, np.nan))


def _estimates(
    profile: Profile, series: Series, source: str, *, whole: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Filtered level, smoothed level and its deviation; (users, days), NaN where there is none.

    Args:
        profile: The filter's.
        series: Readings of every day; NaN for none.
        source: Of the readings.
        whole: Smooth all readings, not the window alone.
    """
    folded = product.folded(profile, series, source)
    known = ~np.isnan(series.value)
    filtered, level, sd = np.full((3, *known.shape), np.nan)
    filtered[known] = folded.decisions.level
    flags = np.zeros(known.shape, np.uint8)
    flags[known] = folded.decisions.reason
    flags[known] |= folded.decisions.restarted * np.uint8(RESTARTED)
    for user, body in enumerate(folded.bodies):
        if body is None:
            continue
        days = np.flatnonzero(known[user])
        if whole:
            level[user, days], sd[user, days] = _whole(
                profile, source, body, days, series.value[user, days], flags[user, days]
            )
        else:
            window = describe(body, profile).window_readings
            days = days[-len(window) :]
            level[user, days] = [reading.level_smoothed for reading in window]
            sd[user, days] = [reading.level_smoothed_sd for reading in window]
    return filtered, level, sd


def _whole(
    profile: Profile,
    source: str,
    body: bytes,
    days: np.ndarray,
    value: np.ndarray,
    flags: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Level and deviation at all readings of a user, whatever the window holds."""
    parameters, belief = parameters_of(profile), newest_estimates(profile, [body]).belief
    noise = parameters.variances[profile.source_code(source)] * belief.scale
    readings = OneUser(
        np.diff(days, prepend=days[:1]).astype(float),
        value,
        np.repeat(noise, value.size),
        int(squarings_of(parameters, belief.readings)[0]),
    )
    level, _, variance, *_ = smooth(parameters, readings, flags)
    return level, np.sqrt(variance) * width(parameters, belief.readings)
