"""What a profile does on users that it was not fitted to, beside simple methods.

Each method answers the next reading of each user with a distribution. All are judged on the same
readings, wild ones and those that a profile rejects among them, so that no method looks better by
rejecting more. A reading costs no method more than a fixed amount, since some readings nobody can
foretell.

Standard errors take users as independent, and the readings of one user as anything but (the ratio
estimator of cluster sampling; Cochran, Sampling Techniques, 1977, section 11).
"""

from typing import NamedTuple

import numpy as np

from kalmap.filter.model import measurement_variances
from kalmap.filter.noise import width as interval_width
from kalmap.filter.parameters import parameters_of
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, U8, Bool
from kalmap_cli.tuning.likelihood import Foretold, foretell
from kalmap_cli.tuning.rivals import LAST_VALUE, Holt, expected, fit_holt
from kalmap_cli.tuning.users import Users, step_of

_95 = 1.959963984540054
#: The score gives each reading this chance to be anything in the range, so that no method loses
#: more than a fixed amount on one reading.
_ANYTHING = 0.01
#: One error counts at most so many times what the last value's errors stay below.
_MOST, _BELOW = 3.0, 0.9
#: A difference of so many standard errors is sure.
_SURE = 2.0
#: Chances of a wrong reading that simple methods may be given, and spreads over their errors'.
_WRONG = (0.001, 0.01, 0.03, 0.1)
_SPREADS = 2.0 ** np.arange(-2.0, 3.25, 0.25)
#: A profile that rejects more than this share of the readings may be wrong for them.
_MANY = 0.05
#: Of the table's columns.
_WIDTHS = (14, 16, 14, 12)


class Figure(NamedTuple):
    """A figure with its standard error."""

    value: float
    error: float


class Score(NamedTuple):
    """How a method did; figures are of the next readings of users that it had not seen."""

    method: str
    error: Figure
    """Mean absolute error; no error counts more than `Trial.most`."""
    log_score: Figure
    """Mean logarithm of the density that it gave to what came."""
    inside: Figure
    """Share of readings inside the 95 % interval."""
    rejected: dict[str, float] | None
    """Share of all readings, by reason; None for a method that rejects nothing."""


class Trial(NamedTuple):
    """How methods did on the same readings."""

    scores: list[Score]
    """The given profile's is the last but one, and the fitted one's the last."""
    most: float
    """An error counts at most this much."""
    gain: Figure
    """Log score of the fitted profile over that of the given one, reading by reading."""
    more: Figure
    """Mean absolute error of the fitted profile over that of the given one."""

    @property
    def is_worse(self) -> bool:
        """Whether the fitted profile is surely worse than the given one."""
        if self.gain.value < -_SURE * self.gain.error:
            return True
        larger = self.more.value > _SURE * self.more.error
        return larger and self.gain.value <= _SURE * self.gain.error


def compare(given: Profile, fitted: Profile, fitted_to: Users, users: Users) -> Trial:
    """Scores of last value, Holt, and the two profiles.

    Readings are judged that lie in the range of one profile at least. One that lies in the range
    of the other only counts against the profile that refuses it.

    Args:
        given: The profile that there was before.
        fitted: The new one.
        fitted_to: The readings that methods may be fitted to.
        users: Others.
    """
    low = min(given.range[0], fitted.range[0])
    high = max(given.range[1], fitted.range[1])
    fitted_to, users = (
        each.where((each.value >= low) & (each.value <= high)) for each in (fitted_to, users)
    )
    judged, width = ~users.begin, high - low
    last = np.abs(users.value - expected(LAST_VALUE, users))[judged]
    most = _MOST * float(np.quantile(last, _BELOW)) or width
    answers = [
        ("last value", _simple(LAST_VALUE, fitted_to, users, width)),
        ("Holt", _simple(fit_holt(fitted_to), fitted_to, users, width)),
        (given.name, _filtered(given, users)),
        (fitted.name, _filtered(fitted, users)),
    ]
    scores, columns = [], []
    for name, answer in answers:
        error = np.minimum(np.nan_to_num(np.abs(users.value - answer.value), nan=most), most)
        logs = np.log((1.0 - _ANYTHING) * answer.density + _ANYTHING / width)
        inside = (np.abs(users.value - answer.value) <= answer.half).astype(float)
        columns.append((error, logs))
        scores.append(
            Score(
                name,
                _mean(error, users, judged),
                _mean(logs, users, judged),
                _mean(inside, users, judged),
                None if answer.reason is None else _rejected(answer.reason),
            )
        )
    (error_before, logs_before), (error, logs) = columns[-2:]
    return Trial(
        scores,
        most,
        _mean(logs - logs_before, users, judged),
        _mean(error - error_before, users, judged),
    )


class _Answer(NamedTuple):
    """What a method says of each reading; arrays of shape (readings,)."""

    value: F64
    """NaN where it says nothing."""
    half: F64
    """Half of the 95 % interval."""
    density: F64
    """Of what came."""
    reason: U8 | None
    """Why it rejects the reading; None for a method that rejects nothing."""


def _simple(method: Holt, fitted_to: Users, users: Users, width: float) -> _Answer:
    """Normal errors, and a chance of a wrong reading, both as the readings to fit to have them."""
    error = (fitted_to.value - expected(method, fitted_to))[~fitted_to.begin]
    typical = float(np.median(np.abs(error))) or float(np.std(error))
    # Of rounded readings nobody knows more.
    least = max(step_of(fitted_to.value) / 12.0**0.5, 1e-9)
    spread, wrong = max(
        ((max(typical * spread, least), wrong) for spread in _SPREADS for wrong in _WRONG),
        key=lambda each: float(np.log(_mixture(error, each[0], each[1], width)).mean()),
    )
    value = expected(method, users)
    density = _mixture(users.value - value, spread, wrong, width)
    return _Answer(value, np.full(value.size, _95 * spread), density, None)


def _mixture(error: F64, spread: float, wrong: float, width: float) -> F64:
    density = np.exp(-0.5 * (error / spread) ** 2) / (np.sqrt(2.0 * np.pi) * spread)
    found: F64 = (1.0 - wrong) * density + wrong / width
    return found


def _filtered(profile: Profile, users: Users) -> _Answer:
    """What the filter says. It never sees a reading outside the profile's range."""
    low, high = profile.range
    seen = (users.value >= low) & (users.value <= high)
    reason = np.full(users.value.size, Reason.OUT_OF_RANGE, np.uint8)
    value, half = np.full((2, users.value.size), np.nan)
    density = np.zeros(users.value.size)
    if seen.any():
        said = foretell(profile, users.where(seen))
        value[seen], half[seen], reason[seen] = said.predicted, _halves(profile, said), said.reason
        density[seen] = np.nan_to_num(np.exp(said.log_density))
    return _Answer(value, half, density, reason)


def _halves(profile: Profile, said: Foretold) -> F64:
    """Halves of the 95 % intervals."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(said.innovation**2 / said.nis)
    spread = np.where(np.isfinite(spread), spread, np.sqrt(measurement_variances(profile)[255]))
    factor = interval_width(parameters_of(profile), np.maximum(said.readings - 1.0, 0.0))
    found: F64 = _95 * spread * factor
    return found


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


def _rejected(reason: U8) -> dict[str, float]:
    reasons = (Reason.OUTLIER, Reason.UNIT_SUSPECT, Reason.OUT_OF_RANGE)
    return {str(each.label): float(np.mean(reason == each)) for each in reasons}


def verdict(trial: Trial) -> list[str]:
    """Sentences that say how the fitted profile compares with the given one."""
    given, fitted = trial.scores[-2], trial.scores[-1]
    reasons = fitted.rejected or {}
    found = [
        f"  {fitted.method} rejects "
        + ", ".join(f"{100.0 * share:.2f} % as {reason}" for reason, share in reasons.items())
        + "."
    ]
    for score in (given, fitted):
        share = sum((score.rejected or {}).values())
        if share > _MANY:
            found.append(
                f"{score.method} rejects {100.0 * share:.0f} % of the readings. Look at some of "
                "them: if they are right, this profile is wrong for these users."
            )
    if trial.is_worse:
        found.append(f"{fitted.method} is worse than {given.method} on users that it did not see.")
    elif trial.gain.value <= _SURE * trial.gain.error:
        found.append(
            f"On these users {fitted.method} is not surely better than {given.method}: its log "
            f"score is {trial.gain.value:+.3f} ({trial.gain.error:.3f}) over that one's."
        )
    return found


def table(scores: list[Score]) -> list[str]:
    """The scores as lines of at most 80 characters; standard errors in brackets."""
    rows = [("", "error", "log score", "95 % holds, %", "rejected, %")]
    for score in scores:
        rejected = "" if score.rejected is None else f"{100.0 * sum(score.rejected.values()):.2f}"
        rows.append((
            score.method if len(score.method) <= 22 else score.method[:19] + "...",
            f"{score.error.value:.4g} ({score.error.error:.1g})",
            f"{score.log_score.value:.3f} ({score.log_score.error:.3f})",
            f"{100.0 * score.inside.value:.1f} ({100.0 * score.inside.error:.1f})",
            rejected,
        ))  # fmt: skip
    return [
        f"  {row[0]:<22}"
        + "".join(f"{text:>{width}}" for text, width in zip(row[1:], _WIDTHS, strict=True)).rstrip()
        for row in rows
    ]
