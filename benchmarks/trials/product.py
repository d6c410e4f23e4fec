"""What kalmap itself answers: `fold_users`, `predict` and the fit of `kalmap tune`."""

import numpy as np

from benchmarks.trials.estimates import Estimates
from benchmarks.trials.series import Series
from kalmap.filter.columns import empty_belief
from kalmap.filter.estimates import predict
from kalmap.filter.fold import Folded, fold_users
from kalmap.filter.forward import filter_histories
from kalmap.filter.noise import width
from kalmap.filter.offsets import offsets
from kalmap.filter.packed import Histories, Start
from kalmap.filter.parameters import parameters_of
from kalmap.profile import Profile
from kalmap.readings import Readings
from kalmap_cli.tuning.fit import fit
from kalmap_cli.tuning.users import Users

_DAY = 86_400_000_000
#: The day, since 1970, of day 0; all sets then lie between 1970 and _NOW.
_BEGIN = 10_000
_NOW = 60_000 * _DAY


def tuned(base: Profile, train: Series, source: str | None = None) -> Profile:
    """The profile as `kalmap tune` fits it to these readings."""
    known = ~np.isnan(train.value)
    users = Users(
        known.sum(axis=1),
        np.round((_BEGIN + train.days[known]) * _DAY).astype(np.int64),
        train.value[known],
        np.full(int(known.sum()), base.source_code(source), np.uint8),
    )
    return fit(base, users, lambda _text: None).profile


def general_profile(train: Series) -> Profile:
    """A profile for a public set before it is tuned: wide limits, and noises above zero."""
    low, high = float(np.nanmin(train.value)), float(np.nanmax(train.value))
    width = high - low
    gap = float(np.nanmedian(np.diff(train.days, axis=1)))
    return Profile(
        name="trial", unit="{units}", range=(low - 2.0 * width, high + 2.0 * width),
        level_noise=0.02 * width / gap**0.5, slope_noise=0.02 * width / gap**1.5,
        slope_damping=0.1 / gap, slope_prior=0.1 * width / gap, measurement_noise=0.05 * width,
    )  # fmt: skip


def run(
    profile: Profile,
    series: Series,
    source: str | None = None,
    *,
    ahead: tuple[int, ...] = (),
    origins: tuple[int, ...] = (),
) -> Estimates:
    """Fold all readings as one batch of new users; forecast at the `origins` only."""
    known = ~np.isnan(series.value)
    decisions = folded(profile, series, source).decisions

    def rectangle(values: np.ndarray) -> np.ndarray:
        full = np.full(known.shape, np.nan)
        full[known] = values
        return full

    # A level and its prediction are without what the profile says that the time adds.
    added = _added(profile, series, source)[known]
    wrong = np.where(np.isnan(decisions.quality), decisions.reason > 0, 1.0 - decisions.quality)
    inside = ~np.isnan(decisions.level)
    spread = np.full(inside.shape, np.nan)
    spread[inside] = _predicted_sd(profile, series, source)
    later = {days: (np.full(known.shape, np.nan), np.full(known.shape, np.nan)) for days in ahead}
    for origin in origins:
        past = Series(series.days[:, : origin + 1], series.value[:, : origin + 1])
        bodies = folded(profile, past, source).bodies
        for user, body in enumerate(bodies):
            # A user all of whose readings were out of range has no state.
            for days, (mean, sd) in later.items() if body is not None else ():
                at = round((_BEGIN + series.days[user, origin] + days) * _DAY)
                mean[user, origin], sd[user, origin], _ = predict(profile, body, at)
    return Estimates(
        rectangle(decisions.predicted + added), rectangle(spread), rectangle(decisions.level),
        rectangle(decisions.level_sd), rectangle(wrong), later,
    )  # fmt: skip


def folded(profile: Profile, series: Series, source: str | None) -> Folded:
    """All known readings as one batch of new users."""
    known = ~np.isnan(series.value)
    user = np.nonzero(known)[0]
    number = np.arange(user.size)
    readings = Readings(
        user.astype(np.int32),
        np.round((_BEGIN + series.days[known]) * _DAY).astype(np.int64),
        series.value[known],
        np.full(user.size, profile.source_code(source), np.uint8),
        np.zeros(user.size, np.uint8),
        number.astype(np.uint64),
        number,
    )
    return fold_users(profile, [None] * len(known), readings, _NOW)


def _added(profile: Profile, series: Series, source: str | None) -> np.ndarray:
    """What the profile says that is in each reading beside the level; 0 where there is none."""
    time = np.round((_BEGIN + np.nan_to_num(series.days)) * _DAY).astype(np.int64)
    codes = np.full(time.size, profile.source_code(source), np.uint8)
    found = offsets(profile, time.ravel(), codes)
    return np.zeros(time.shape) if found is None else found.reshape(time.shape)


def _predicted_sd(profile: Profile, series: Series, source: str | None) -> np.ndarray:
    """Half of each reading's 95 % interval over 1.96, of readings inside the range."""
    low, high = profile.range
    inside = (series.value >= low) & (series.value <= high)
    counts = inside.sum(axis=1)
    days = np.concatenate(
        [
            np.diff(row[keep], prepend=row[keep][:1])
            for row, keep in zip(series.days, inside, strict=True)
        ]
    )
    users = np.flatnonzero(counts)
    parameters = parameters_of(profile)
    codes = np.full(days.size, profile.source_code(source), np.uint8)
    level = series.value - _added(profile, series, source)
    histories = Histories(counts[users], days, level[inside], codes)
    none = np.zeros(users.size, np.bool_)
    with np.errstate(all="ignore"):
        path = filter_histories(
            parameters, histories, Start(none, empty_belief(users.size), counts[users])
        )
        readings = np.maximum(path.readings - 1.0, 0.0)
        return (width(parameters, readings) / np.sqrt(path.precision))[path.position]
