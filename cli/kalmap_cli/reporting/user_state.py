"""What a user's stored state says: its readings, levels in hindsight, and what is expected next."""

import math
from datetime import datetime
from typing import NamedTuple

import numpy as np

from kalmap import units
from kalmap.errors import InvalidInput
from kalmap.filter.codec import profile_digest_of
from kalmap.filter.columns import RESTARTED
from kalmap.filter.estimates import StateView, describe, newest_estimates, predict_users
from kalmap.moments import DAY, moment_at
from kalmap.plural import counted
from kalmap.profile import Profile
from kalmap.store.ports import UserState
from kalmap.store.profiles import Profiles
from kalmap_cli.errors import RunFailed
from kalmap_cli.reporting.estimates import INTERVAL
from kalmap_cli.reporting.rejection import why_rejected
from kalmap_cli.reporting.user_chart import Point
from kalmap_cli.reporting.words import with_margin

#: Days after the newest reading for which a level is expected.
_DAYS_AHEAD = 7


class UserStory(NamedTuple):
    """One user's state under one profile."""

    user: str
    profile: Profile
    unit: str
    """As people write it."""
    state: StateView
    points: list[Point]
    """The stored readings in order of time, each with the level in the light of all of them."""
    expected: list[Point]
    """From the newest reading on, a day apart."""


def story_of(state: UserState, profiles: Profiles) -> UserStory:
    """Read a state out of the table.

    Raises:
        RunFailed: It is damaged, or the profile it was folded under is not stored any more.
    """
    try:
        profile = profiles.find(state.profile, profile_digest_of(state.state.body))
        if profile is None:
            raise RunFailed(
                f"The state of {state.user!r} was folded under a version of the profile "
                f"{state.profile} that is not stored any more."
            )
        return read_story(state.user, profile, state.state.body)
    except InvalidInput as error:
        raise RunFailed(f"The state of {state.user!r}: {error}") from error


def read_story(user: str, profile: Profile, body: bytes) -> UserStory:
    """Read a stored state.

    Raises:
        InvalidInput: It is not sound.
    """
    state = describe(body, profile)
    newest = newest_estimates(profile, [body])
    points = [
        Point(
            moment_at(reading.time),
            reading.value,
            "rejected" if reading.reason else "accepted",
            reading.reason.label,
            reading.level_smoothed,
            reading.level_smoothed_sd,
            bool(flags & RESTARTED),
        )
        for reading, flags in zip(state.window_readings, newest.flags.tolist(), strict=True)
    ]
    expected = [
        _expected(state.as_of, state.level, state.level_sd),
        *(
            _expected(at, *predict_users(profile, newest, np.array([at]))[:2, 0].tolist())
            for at in (state.as_of + day * DAY for day in range(1, _DAYS_AHEAD + 1))
        ),
    ]
    return UserStory(user, profile, units.shown(profile.unit), state, points, expected)


def _expected(at: int, level: float, level_sd: float) -> Point:
    return Point(moment_at(at), math.nan, "expected", None, level, level_sd, is_prediction=True)


def summary_of(story: UserStory) -> list[tuple[str, str]]:
    """The state in words: label and text."""
    state, unit, newest = story.state, story.unit, story.points[-1].time
    week = story.expected[-1]
    oldest = story.points[0].time
    span = day(newest) if oldest == newest else f"{day(oldest)} to {day(newest)}"
    stored = f"{counted(len(story.points), 'reading')} stored, {span}; {state.rejected} rejected"
    rows = [
        ("readings", stored),
        ("level", f"{with_margin(state.level, INTERVAL * state.level_sd)} {unit}, {day(newest)}"),
        ("slope", slope_in_words(state.slope, state.slope_sd, unit)),
        (
            "expected",
            f"{with_margin(week.level, INTERVAL * week.level_sd)} {unit}, {day(week.time)}",
        ),
        ("noise", f"{state.noise:.2g} {unit}, the standard deviation of one reading"),
    ]
    restarts = [day(point.time) for point in story.points if point.restarted]
    if restarts:
        rows.append(("restarts", f"the level jumped {', '.join(restarts)}"))
    if state.other_level is not None and state.other_share >= 0.01:
        share = f"{100 * state.other_share:.0f} %"
        other = f"{state.other_level:.5g} {unit} with a probability of {share}"
        rows.append(("or else", f"{other}: the next readings will tell"))
    return rows


def slope_in_words(slope: float, sd: float, unit: str) -> str:
    """A slope with its interval, and whether it may be noise."""
    if sd == 0.0:
        return "none, since levels of this profile have no slope"
    change = f"{with_margin(7 * slope, 7 * INTERVAL * sd, sign=True)} {unit} a week"
    if abs(slope) <= INTERVAL * sd:
        return f"{change}, which may be noise"
    return f"{change}: it {'rises' if slope > 0 else 'falls'}"


def rejections_of(story: UserStory) -> list[tuple[str, str]]:
    """Each rejected reading in words: when, and why."""
    return [
        (
            f"{point.time:%Y-%m-%d %H:%M}",
            why_rejected(
                point.value, story.unit, point.reason, point.level, INTERVAL * point.level_sd
            ),
        )
        for point in story.points
        if point.status == "rejected"
    ]


def day(time: datetime) -> str:
    """A day as people write it: `2 March 2026`."""
    return f"{time.day} {time:%B %Y}"
