"""The users of stored states, by profile: what their states say, and who needs a look."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kalmap.errors import InvalidInput
from kalmap.filter.codec import profile_digest_of
from kalmap.moments import moment_at
from kalmap.plural import counted
from kalmap.profile import Profile
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
            with_margin(7 * float(one.slope), 7 * INTERVAL * float(one.slope_sd), sign=True),
            f"{moment_at(int(one.as_of)):%Y-%m-%d}",
        )


def groups_of(states: list[UserState], profiles: Profiles) -> tuple[list[Group], list[str]]:
    """The users by profile, and sentences about those who are left out."""
    by_version: dict[tuple[str, bytes], list[UserState]] = {}
    for state in sorted(states, key=lambda state: state.user):
        version = profile_digest_of(state.state.body)
        by_version.setdefault((state.profile, version), []).append(state)
    groups, notes = [], []
    for (name, version), members in sorted(by_version.items()):
        profile = profiles.find(name, version)
        if profile is None:
            notes.append(
                f"{counted(len(members), 'state')} of a version of the profile {name} that is not "
                "stored any more are left out."
            )
            continue
        sound, estimates = _estimates(profile, members)
        if len(sound) < len(members):
            notes.append(f"{counted(len(members) - len(sound), 'damaged state')} left out.")
        names = [state.user for state in sound]
        groups.append(Group(name, profile.unit.strip("{}"), names, estimates))
    return groups, notes


def _estimates(profile: Profile, states: list[UserState]) -> tuple[list[UserState], Estimates]:
    """The states that are sound, and what they say."""
    try:
        return states, estimates_of(profile, [state.state.body for state in states])
    except InvalidInput:
        sound = [state for state in states if _is_sound(profile, state)]
        return sound, estimates_of(profile, [state.state.body for state in sound])


def _is_sound(profile: Profile, state: UserState) -> bool:
    try:
        estimates_of(profile, [state.state.body])
    except InvalidInput:
        return False
    return True
