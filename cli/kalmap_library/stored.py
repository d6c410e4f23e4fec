"""What stored states say: predictions, and the readings of the window in the light of all."""

from datetime import datetime

import numpy as np

from kalmap.errors import InvalidInput
from kalmap.filter.estimates import describe, newest_estimates, predict_users
from kalmap.moments import iso, moment_at
from kalmap.profile import DEFAULT_PROFILE
from kalmap_library.moments import moment
from kalmap_library.profiles import AnyProfile, load_profile
from kalmap_library.states import States, checked_states
from kalmap_library.table import Table


def predict(
    states: States, at: datetime | str | None = None, profile: AnyProfile = DEFAULT_PROFILE
) -> Table:
    """Each user's expected level at a time.

    Args:
        states: The states that a fold or a batch left.
        at: A time that is no earlier than any user's newest reading; None for the newest readings.
        profile: The one that the states were folded under.

    Returns:
        user_id, timestamp, level, level_sd and slope, a row for each user; slope is per day.

    Raises:
        InvalidInput: A state is not sound, or a user has a later reading.

    >>> from kalmap_library.folding import fold
    >>> day = {"user_id": ["anna"], "timestamp": ["2026-03-01T07:00Z"], "value": [70.1]}
    >>> table = predict(fold(day).states, "2026-03-31T07:00Z")
    >>> f"{table['level'][0]:.1f} ± {table['level_sd'][0]:.1f} kg"
    '70.1 ± 2.9 kg'
    """
    checked, stored = load_profile(profile), checked_states(states)
    users, bodies = list(stored), list(stored.values())
    if not users:
        return _predictions([], np.empty(0, np.int64), np.empty((3, 0)))
    newest = newest_estimates(checked, bodies)
    time = newest.as_of if at is None else np.full(len(users), moment(at, "at"))
    if (early := np.flatnonzero(time < newest.as_of)).size:
        last = moment_at(int(newest.as_of[early[0]]))
        raise InvalidInput(
            f"at is {at}, but the newest reading of {users[early[0]]} is of {iso(last)}. Predict "
            "for that time or a later one."
        )
    return _predictions(users, time, predict_users(checked, newest, time))


def _predictions(users: list[str], time: np.ndarray, predicted: np.ndarray) -> Table:
    level, level_sd, slope = predicted
    return Table(
        {
            "user_id": users,
            "timestamp": time.view("M8[us]"),
            "level": level,
            "level_sd": level_sd,
            "slope": slope,
        }
    )


def smooth(states: States, profile: AnyProfile = DEFAULT_PROFILE) -> Table:
    """The latest readings of each user, with the level in the light of all of them.

    A filter's level knows the readings up to its own. A smoothed one knows the later ones, too.
    A state has a user's last readings, 24 of them at most.

    Args:
        states: The states that a fold or a batch left.
        profile: The one that the states were folded under.

    Returns:
        user_id, timestamp, value, reason, level_smoothed and level_smoothed_sd, a row for each
        reading; reason says why it was rejected.

    Raises:
        InvalidInput: A state is not sound.

    >>> from kalmap_library.folding import fold
    >>> days = [f"2026-03-{day:02d}T07:00Z" for day in range(1, 5)]
    >>> table = {"user_id": ["anna"] * 4, "timestamp": days, "value": [70.1, 69.2, 70.3, 70.0]}
    >>> folded = fold(table)
    >>> folded.results["level_sd"].round(2).tolist()
    [1.13, 0.74, 0.58, 0.49]
    >>> smooth(folded.states)["level_smoothed_sd"].round(2).tolist()
    [0.44, 0.42, 0.42, 0.44]
    """
    checked = load_profile(profile)
    rows = [
        (user, reading)
        for user, body in checked_states(states).items()
        for reading in describe(body, checked).window_readings
    ]
    return Table(
        {
            "user_id": [user for user, _ in rows],
            "timestamp": np.array([reading.time for _, reading in rows], np.int64).view("M8[us]"),
            "value": np.array([reading.value for _, reading in rows], np.float64),
            "reason": [reading.reason.label for _, reading in rows],
            "level_smoothed": np.array([r.level_smoothed for _, r in rows], np.float64),
            "level_smoothed_sd": np.array([r.level_smoothed_sd for _, r in rows], np.float64),
        }
    )
