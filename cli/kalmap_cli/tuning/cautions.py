"""What a fitted profile cannot tell: sentences about readings that the model does not suit."""

import numpy as np

from kalmap import units
from kalmap.plural import counted
from kalmap.profile import Profile
from kalmap.readings import F64, I64, Bool
from kalmap_cli.tuning.errors import Number
from kalmap_cli.tuning.likelihood import Foretold, foretell
from kalmap_cli.tuning.users import Users

_FEW_USERS = 20
_FEW_READINGS = 4.0
#: An effect counts if it is this large, in standard deviations, and this many standard errors.
_LARGE, _SURE = 0.15, 4.0
_DAY, _WEEK = 86_400e6, 7.0 * 86_400e6
_RARE = 0.02
#: A noise with a standard error above this share of it is not known.
_UNSURE = 0.5
#: Levels that move by so many noises between readings hide the noise, and a noise that is so many
#: times what was believed, or so much less, is then movement, or movement is taken for it.
_FAR, _OTHER = 3.0, 2.0


def cautions(profile: Profile, users: Users) -> list[str]:
    """Sentences for the person who tunes.

    Args:
        profile: The fitted one.
        users: Readings in its range.
    """
    said = foretell(profile, users)
    return [*_about_readings(users), *_about_innovations(users, said)]


def about_spacing(base: Profile, profile: Profile, numbers: list[Number], gap: float) -> list[str]:
    """A sentence where readings are too far apart to tell noise from movement.

    Args:
        base: What was believed of noise and movement before.
        profile: The fitted one.
        numbers: Its main numbers.
        gap: Days between readings.
    """
    noise = next(number for number in numbers if number.name == "measurement_noise")
    moved = (base.level_noise**2 * gap + (base.slope_prior * gap) ** 2) ** 0.5
    is_flat = noise.error is None or noise.error > _UNSURE * noise.value
    ratio = profile.measurement_noise / base.measurement_noise
    is_odd = moved > _FAR * base.measurement_noise and not 1.0 / _OTHER < ratio < _OTHER
    if not is_flat and not is_odd:
        return []
    unit = units.shown(profile.unit)
    found = (
        f"Noise and movement cannot be told apart at this spacing: readings are {gap:.3g} days "
        f"apart. The fitted noise is {profile.measurement_noise:.3g} {unit}; that of "
        f"{base.name} is {base.measurement_noise:.3g}. Predictions are as good as the table says, "
        "but the levels' intervals may be wrong. Readings closer together would tell, or set "
        "measurement_noise yourself."
    )
    return [found]


def _about_readings(users: Users) -> list[str]:
    found = []
    count, size = users.counts.size, users.value.size
    if count < _FEW_USERS:
        found.append(
            f"There are readings of {counted(count, 'user')} only. What the profile says of other "
            "users is uncertain."
        )
    if size / count < _FEW_READINGS:
        found.append(
            f"A user has {size / count:.1f} readings on average. That is too few to tell how the "
            "level moves from the noise of readings."
        )
    values = np.unique(users.value)
    if values.size == 2:
        found.append(
            f"Every reading is {values[0]:g} or {values[1]:g}. The model is for measurements, not "
            "for yes and no: levels will be shares, with wrong intervals."
        )
    first, last = np.cumsum(users.counts) - users.counts, np.cumsum(users.counts) - 1
    several = users.counts > 2
    low = np.minimum.reduceat(users.value, first)[several]
    constant = low == np.maximum.reduceat(users.value, first)[several]
    if values.size > 2 and constant.size and constant.mean() > 0.1:
        found.append(
            f"{100.0 * constant.mean():.0f} % of the users with three readings or more have the "
            "same value every time. Their noise is smaller than the profile says."
        )
    together = (np.diff(users.time, prepend=users.time[:1]) == 0) & ~users.begin
    if together.mean() > _RARE:
        found.append(
            f"{100.0 * together.mean():.0f} % of the readings have the same time as the user's "
            "reading before. If they are copies of it, the noise that was fitted is too small."
        )
    days = (users.time[last] - users.time[first]) / _DAY
    if (days == 0.0).all():
        found.append("No user has readings at two different times, so no movement can be fitted.")
    return found


def _about_innovations(users: Users, said: Foretold) -> list[str]:
    with np.errstate(invalid="ignore"):
        innovation = np.sign(said.innovation) * np.sqrt(said.nis)
    good = np.isfinite(innovation) & (said.reason == 0)
    if good.sum() < 50:
        return []
    found = []
    pairs = good[1:] & good[:-1] & ~users.begin[1:]
    size = int(pairs.sum())
    if size > 50:
        now, before = innovation[1:][pairs], innovation[:-1][pairs]
        size_of_both = np.sqrt((now @ now) * (before @ before))
        correlation = float(now @ before / size_of_both) if size_of_both else 0.0
        if abs(correlation) > _LARGE and abs(correlation) > _SURE / size**0.5:
            found.append(
                f"Errors of consecutive predictions are correlated ({correlation:+.2f}). Something "
                "moves readings that the model does not have, such as errors that last from one "
                "reading to the next. Intervals are then too narrow or too wide."
            )
    for name, period in (("day", _DAY), ("week", _WEEK)):
        swing = _swing(users.time, innovation, good, period)
        if swing is not None:
            found.append(
                f"The errors of predictions rise and fall with the {name}, by {swing:.1f} standard "
                "deviations from the mean. The profile's rhythm does not explain it: it is one for "
                "all users, and readings may not show enough of it."
            )
    return found


def _swing(time: I64, innovation: F64, good: Bool, period: float) -> float | None:
    """Amplitude of a wave in the innovations, if it is large and sure."""
    phase = 2.0 * np.pi * np.mod(time[good], period) / period
    waves = np.column_stack((np.cos(phase), np.sin(phase)))
    waves -= waves.mean(axis=0)
    values = innovation[good] - innovation[good].mean()
    products = waves.T @ waves
    # Readings always at one time of day tell nothing of the others.
    if np.linalg.eigvalsh(products)[0] < 0.02 * values.size:
        return None
    fitted = np.linalg.solve(products, waves.T @ values)
    amplitude = float(np.hypot(*fitted))
    error = float(np.sqrt(2.0 * np.mean(values**2) / values.size))
    return amplitude if amplitude > _LARGE and amplitude > _SURE * error else None
