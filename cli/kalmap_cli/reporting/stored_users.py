"""The users of stored states, by profile: what their states say, and who needs a look."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kalmap import units
from kalmap.moments import moment_at
from kalmap.plural import counted
from kalmap.readings import F64
from kalmap.store.ports import UserState
from kalmap.store.profiles import Profiles
from kalmap_cli.reporting.estimates import (
    BENEFIT,
    INTERVAL,
    Estimates,
    cautious_quality,
    estimates_of,
)
from kalmap_cli.reporting.words import with_margin
from kalmap_cli.stored_bodies import read_bodies, rows_by_version

#: By what users are listed, and the number by which each is sorted: the lowest first.
ORDERS: dict[str, Callable[[Estimates], F64]] = {
    "drift": lambda estimates: -estimates.drift,
    "rejections": lambda estimates: -estimates.rejected / (estimates.readings + BENEFIT),
    "quality": lambda estimates: cautious_quality(estimates.quality, estimates.readings),
    "silent": lambda estimates: estimates.as_of,
}
#: The heads of a user's cells.
COLUMNS = ("readings", "rejected", "quality", "level", "slope a week", "newest")


class Group(NamedTuple):
    """Users whose states were folded under one version of a profile."""

    profile: str
    unit: str
    users: list[str]
    estimates: Estimates

    def order(self, by: str) -> list[int]:
        """The positions of the users, those first who need a look."""
        positions: list[int] = np.argsort(ORDERS[by](self.estimates), kind="stable").tolist()
        return positions

    def cells(self, user: int) -> tuple[str, ...]:
        """What the state of a user says, a text for each of `COLUMNS`."""
        one = Estimates(*(float(column[user]) for column in self.estimates))  # type: ignore[arg-type]
        return (
            f"{one.readings:.0f}",
            f"{one.rejected:.0f}",
            f"{one.quality:.2f}",
            with_margin(float(one.level), INTERVAL * float(one.level_sd)),
            _slope(float(one.slope), float(one.slope_sd)),
            f"{moment_at(int(one.as_of)):%Y-%m-%d}",
        )


def _slope(slope: float, sd: float) -> str:
    """A slope a week; none in a profile whose levels have none."""
    return with_margin(7 * slope, 7 * INTERVAL * sd, sign=True) if sd else "none"


def groups_of(states: list[UserState], profiles: Profiles) -> tuple[list[Group], list[str]]:
    """The users by profile, and sentences about those who are left out."""
    states = sorted(states, key=lambda state: state.user)
    bodies = [state.state.body for state in states]
    is_sound = read_bodies(bodies).is_sound
    by_version = rows_by_version([state.profile for state in states], bodies, is_sound)
    groups, notes = [], []
    for (name, version), rows in sorted(by_version.items()):
        profile = profiles.find(name, version)
        if profile is None:
            notes.append(
                f"{counted(len(rows), 'state')} of a version of the profile {name} that is not "
                "stored any more are left out."
            )
            continue
        users = [states[row].user for row in rows]
        estimates = estimates_of(profile, [bodies[row] for row in rows])
        groups.append(Group(name, units.shown(profile.unit), users, estimates))
    damaged = len(states) - int(is_sound.sum())
    if damaged:
        notes.append(f"{counted(damaged, 'damaged state')} left out.")
    return groups, notes
