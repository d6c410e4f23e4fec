"""What a profile does on users that it was not fitted to, beside simple methods.

Each method answers the next reading of each user with a distribution. Standard errors take users
as independent, and the readings of one user as anything but (the ratio estimator of cluster
sampling; Cochran, Sampling Techniques, 1977, section 11).
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter.model import measurement_variances
from kalmap.filter.noise import width as interval_width
from kalmap.filter.parameters import parameters_of
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, Bool
from kalmap_cli.tuning.likelihood import Foretold, foretell
from kalmap_cli.tuning.rivals import LAST_VALUE, expected, fit_holt
from kalmap_cli.tuning.users import Users

_95 = 1.959963984540054
#: The score gives each reading this chance to be anything in the range, so that no method loses
#: more than a fixed amount on one reading.
_ANYTHING = 0.01


#: Of the table's columns.
_WIDTHS = (14, 16, 14, 12)


class Figure(NamedTuple):
    """A figure with its standard error."""

    value: float
    error: float


class Score(NamedTuple):
    """How a method did; figures are of the next readings of users that it had not seen."""

    method: str
    rmse: Figure
    log_score: Figure
    """Mean logarithm of the density that it gave to what came."""
    inside: Figure
    """Share of readings inside the 95 % interval."""
    rejected: dict[str, float] | None
    """Share of all readings, by reason; None for a method that rejects nothing."""


def compare(profiles: list[Profile], fitted_to: Users, users: Users) -> list[Score]:
    """Scores of last value, Holt, and profiles.

    Every method is judged on the readings that the last of the profiles does not reject, so that
    the errors of the readings themselves do not hide those of the methods.

    Args:
        profiles: The last one is the one that was fitted.
        fitted_to: The readings that methods may be fitted to.
        users: Others.
    """
    said = [foretell(profile, users) for profile in profiles]
    low, high = profiles[-1].range
    judged = ~users.begin & (said[-1].reason == 0)
    good = ~fitted_to.begin & (foretell(profiles[-1], fitted_to).reason == 0)
    scores = []
    for name, method in (("last value", LAST_VALUE), ("Holt", fit_holt(fitted_to))):
        error = (fitted_to.value - expected(method, fitted_to))[good]
        spread = np.full(users.value.size, float(np.sqrt(np.mean(error**2))))
        foretold = _Foretold(expected(method, users), spread, _95 * spread)
        scores.append(Score(name, *_figures(users, judged, foretold, high - low), None))
    for profile, each in zip(profiles, said, strict=True):
        foretold = _Foretold(each.predicted, *_spreads(profile, each))
        figures = _figures(users, judged, foretold, high - low)
        scores.append(Score(profile.name, *figures, _rejected(each)))
    return scores


def _spreads(profile: Profile, said: Foretold) -> tuple[F64, F64]:
    """Standard deviations of the next readings, and halves of their 95 % intervals."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(said.innovation**2 / said.nis)
    spread = np.where(np.isfinite(spread), spread, np.sqrt(measurement_variances(profile)[255]))
    factor = interval_width(parameters_of(profile), np.maximum(said.readings - 1.0, 0.0))
    return spread, _95 * spread * factor


class _Foretold(NamedTuple):
    """What a method foretells of each reading; arrays of shape (readings,)."""

    value: F64
    spread: F64
    """Standard deviation."""
    half: F64
    """Half of the 95 % interval."""


def _figures(
    users: Users, judged: Bool, foretold: _Foretold, width: float
) -> tuple[Figure, Figure, Figure]:
    """RMSE, log score, and share inside the 95 % interval."""
    error, spread = users.value - foretold.value, foretold.spread
    density = np.exp(-0.5 * (error / spread) ** 2) / (np.sqrt(2.0 * np.pi) * spread)
    logs = np.log((1.0 - _ANYTHING) * density + _ANYTHING / width)
    squares = _mean(error**2, users, judged)
    root = squares.value**0.5
    return (
        Figure(root, squares.error / (2.0 * root) if root else 0.0),
        _mean(logs, users, judged),
        _mean((np.abs(error) <= foretold.half).astype(float), users, judged),
    )


def _mean(values: F64, users: Users, judged: Bool) -> Figure:
    """Mean of a column, with the standard error that users give it."""
    owner, users_count = users.owner[judged], users.counts.size
    count = np.bincount(owner, minlength=users_count)
    total = np.bincount(owner, values[judged], minlength=users_count)
    mean = float(total.sum() / count.sum())
    have = int((count > 0).sum())
    spread = float(np.sum((total - mean * count) ** 2))
    error = (spread * have / max(have - 1, 1)) ** 0.5 / float(count.sum())
    return Figure(mean, error)


def _rejected(said: Foretold) -> dict[str, float]:
    return {
        "outlier": float(np.mean(said.reason == Reason.OUTLIER)),
        "unit_suspect": float(np.mean(said.reason == Reason.UNIT_SUSPECT)),
    }


def table(scores: list[Score]) -> list[str]:
    """The scores as lines of at most 80 characters; standard errors in brackets."""
    rows = [("", "RMSE", "log score", "95 % holds, %", "rejected, %")]
    for score in scores:
        rejected = "" if score.rejected is None else f"{100.0 * sum(score.rejected.values()):.2f}"
        rows.append((
            score.method if len(score.method) <= 22 else score.method[:19] + "...",
            f"{score.rmse.value:.4g} ({score.rmse.error:.1g})",
            f"{score.log_score.value:.3f} ({score.log_score.error:.3f})",
            f"{100.0 * score.inside.value:.1f} ({100.0 * score.inside.error:.1f})",
            rejected,
        ))  # fmt: skip
    return [
        f"  {row[0]:<22}"
        + "".join(f"{text:>{width}}" for text, width in zip(row[1:], _WIDTHS, strict=True)).rstrip()
        for row in rows
    ]
