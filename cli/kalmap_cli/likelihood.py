"""Fitting a profile's noises: maximum likelihood over many users, robust to wild readings.

Before each reading the filter predicts its distribution, N(predicted, S). The likelihood of a
profile is the product of those densities over all readings (the prediction error decomposition;
Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989, section 3.4).
Here each density is mixed with a constant one over the profile's range. So a wild reading costs a
fixed amount and does not raise the noises.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap.filter.algebra import P00
from kalmap.filter.columns import REASON_BITS, RESTARTED, empty_belief
from kalmap.filter.forward import filter_histories
from kalmap.filter.packed import Histories, Start
from kalmap.filter.parameters import parameters_of
from kalmap.profile import MULTIPLIERS, Profile
from kalmap.readings import UNKNOWN_SOURCE

#: Weight of the constant density in the mixture.
_WILD = 0.01
#: A source with fewer readings than this keeps its multiplier.
_LEAST_READINGS = 200
#: The search ends when no parameter is moved by more than this factor, less one.
_PRECISION = 0.02
_SWEEPS = 60
#: A level noise below this share of the measurement noise becomes 0.
_NO_NOISE = 1e-3
#: The search keeps each noise, in the profile's units, within these.
_NOISE_BOUNDS = (1e-9, 1e4)
_NOISES = ("measurement_noise", "level_noise", "slope_noise", "slope_damping", "slope_prior")


def negative_log_likelihood(profile: Profile, histories: Histories) -> float:
    """Mean negative log-likelihood of the readings, in nats; lower fits better."""
    # Rate limit and range are policy, not noise: here the gate alone decides.
    parameters = parameters_of(msgspec.structs.replace(profile, rate_limit=1e12))
    users = histories.counts.size
    start = Start(
        np.zeros(users, np.bool_), np.zeros((5, users)), empty_belief(users), histories.counts
    )
    with np.errstate(all="ignore"):
        path = filter_histories(parameters, histories, start)
        noise = parameters.variances[histories.source]
        after, flags = path.estimate[P00, path.position], path.flags[path.position]
        accepted = (flags & REASON_BITS) == 0
        # An update leaves p00 R / S, a rejection p00 itself. S = p00 + R follows from both.
        variance = np.where(accepted, noise * noise / (noise - after), after + noise)
        nis = path.nis[path.position]
        density = np.exp(-0.5 * nis) / np.sqrt(2.0 * np.pi * variance)
        density[(flags & RESTARTED) > 0] = 0.0
        width = profile.range[1] - profile.range[0]
        cost = -np.log((1.0 - _WILD) * density + _WILD / width)
    expected = ~np.isnan(nis)
    return float(cost[expected].mean()) if expected.any() else float("inf")


def scale_noises(profile: Profile, histories: Histories) -> Profile:
    """Scale the profile's noises to these readings, as a start for the search.

    The scale is the median absolute difference between readings at most three days apart. If there
    are none so close, it is that of the fifth with the shortest gaps.
    """
    inside = np.ones(histories.gap.size, np.bool_)
    inside[np.cumsum(histories.counts) - histories.counts] = False
    inside[0] = False
    steps = np.diff(histories.value, prepend=histories.value[:1])
    if not inside.any():
        return profile
    near = inside & (histories.gap <= max(3.0, float(np.quantile(histories.gap[inside], 0.2))))
    # 1.4826 makes a median a standard deviation; a difference has two readings' noise.
    scale = 1.4826 * float(np.median(np.abs(steps[near]))) / np.sqrt(2.0)
    factor = max(scale, 1e-6) / profile.measurement_noise
    scaled = {name: getattr(profile, name) * factor for name in _NOISES if name != "slope_damping"}
    return msgspec.structs.replace(profile, **scaled)


def fit_noises(
    profile: Profile, histories: Histories, progress: Callable[[int, float], None]
) -> Profile:
    """Find the noises, damping and source multipliers under which the readings are most likely.

    A compass search in the logarithms of the parameters (Kolda, Lewis and Torczon, SIAM Review
    45, 2003): each in turn is tried a step up and down; steps grow on success and shrink on
    failure. It needs no derivatives and cannot leave the positive numbers. Parameters that are zero
    in the profile stay zero.

    Args:
        profile: Where the search starts; also has the policy.
        histories: The readings to fit.
        progress: Called after each sweep with its number and the least cost so far.
    """
    best, least = profile, negative_log_likelihood(profile, histories)
    steps = dict.fromkeys(_parameters(profile, histories), 0.5)
    for sweep in range(1, _SWEEPS + 1):
        for parameter in steps:
            for direction in (steps[parameter], -steps[parameter]):
                trial = _scale(best, parameter, float(np.exp(direction)))
                cost = negative_log_likelihood(trial, histories)
                if cost < least:
                    best, least = trial, cost
                    steps[parameter] = direction * 1.3
                    break
            else:
                steps[parameter] *= 0.5
        progress(sweep, least)
        if max(map(abs, steps.values())) < _PRECISION:
            break
    return _standardise(best, histories)


class _Parameter(NamedTuple):
    """A number of a profile that the search changes."""

    field: str
    source: str | None = None
    """Which of the profile's sources, if the field is `sources`."""


def _parameters(profile: Profile, histories: Histories) -> Iterator[_Parameter]:
    for name in _NOISES:
        if getattr(profile, name) > 0.0:
            yield _Parameter(name)
    readings = np.bincount(histories.source, minlength=256)
    common = int(readings.argmax())
    # Only products of multiplier and noise matter, so the commonest source's multiplier is fixed.
    for code, name in enumerate(profile.source_names):
        if readings[code] >= _LEAST_READINGS and code != common:
            yield _Parameter("sources", name)
    if readings[UNKNOWN_SOURCE] >= _LEAST_READINGS and common != UNKNOWN_SOURCE:
        yield _Parameter("unknown_source")


def _scale(profile: Profile, parameter: _Parameter, factor: float) -> Profile:
    """Multiply one parameter of the profile, within the bounds of the search."""
    field, source = parameter
    before = getattr(profile, field) if source is None else profile.sources[source]
    low, high = _NOISE_BOUNDS if field in _NOISES else MULTIPLIERS
    scaled = min(max(before * factor, low), high)
    changed = scaled if source is None else profile.sources | {source: scaled}
    return msgspec.structs.replace(profile, **{field: changed})


def _standardise(profile: Profile, histories: Histories) -> Profile:
    """Make the commonest known source's multiplier 1, and round the noises to four digits."""
    readings = np.bincount(histories.source, minlength=256)[: len(profile.source_names)]
    unit = 1.0
    if readings.size and readings.any():
        unit = profile.sources[profile.source_names[int(readings.argmax())]]
    rounded = {name: float(f"{getattr(profile, name):.4g}") for name in _NOISES}
    if profile.level_noise < _NO_NOISE * profile.measurement_noise:
        rounded["level_noise"] = 0.0
    rounded["measurement_noise"] = float(f"{profile.measurement_noise * unit:.4g}")
    return msgspec.structs.replace(
        profile,
        sources={name: float(f"{value / unit:.3g}") for name, value in profile.sources.items()},
        unknown_source=float(f"{profile.unknown_source / unit:.3g}"),
        **rounded,
    )
