"""`kalmap users`: the users who need a look, from their stored states."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
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
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.file_names import printable
from kalmap_cli.reporting.estimates import (
    BENEFIT,
    INTERVAL,
    Estimates,
    cautious_quality,
    estimates_of,
)
from kalmap_cli.reporting.words import with_margin
from kalmap_cli.terminal import fit_to_terminal

#: By what users are listed, and the number by which each is sorted: the lowest first.
ORDERS: dict[str, Callable[[Estimates], F64]] = {
    "drift": lambda estimates: -estimates.drift,
    "rejections": lambda estimates: -estimates.rejected / (estimates.readings + BENEFIT),
    "quality": lambda estimates: cautious_quality(estimates.quality, estimates.readings),
    "silent": lambda estimates: estimates.as_of,
}
_COLUMNS = ("user", "readings", "rejected", "quality", "level", "slope a week", "newest")
#: The first and the last column are text.
_NUMBERS = range(1, 6)
#: Longer ids are cut off.
_MOST_OF_ID = 36


class _Group(NamedTuple):
    """Users whose states were folded under one version of a profile."""

    profile: str
    unit: str
    users: list[str]
    estimates: Estimates


def users(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """List the users who need a look, profile by profile.

    Raises:
        WrongUsage: An option is wrong, or no state is stored.
    """
    if arguments.most < 1:
        raise WrongUsage(f"--most is {arguments.most}; it must be at least 1.")
    with open_deployment(None, data_dir, stack) as deployment:
        store = deployment.states
        profiles = Profiles(deployment.objects)
        wanted = arguments.profile
        states = [state for state in store.scan() if wanted in {None, state.profile}]
        groups, notes = _groups(states, profiles)
    if not states:
        under = f" under the profile {wanted!r}" if wanted else ""
        raise WrongUsage(f"There is no stored state{under}. `kalmap run FILE` stores some.")
    for group in groups:
        _print(group, arguments.by, arguments.most)
    for note in notes:
        print(fit_to_terminal(note, sys.stderr), file=sys.stderr)
    return DONE


def _groups(states: list[UserState], profiles: Profiles) -> tuple[list[_Group], list[str]]:
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
        groups.append(_Group(name, profile.unit.strip("{}"), names, estimates))
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


def _print(group: _Group, by: str, most: int) -> None:
    order = np.argsort(ORDERS[by](group.estimates), kind="stable")[:most].tolist()
    rows = [_COLUMNS, *(_row(group, user) for user in order)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = f"{len(order):,} of {counted(len(group.users), 'user')} by {by}"
    print(f"{group.profile}, in {group.unit}: {shown}")
    for row in rows:
        cells = [
            cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _row(group: _Group, user: int) -> tuple[str, ...]:
    one = Estimates(*(float(column[user]) for column in group.estimates))  # type: ignore[arg-type]
    name = printable(group.users[user])
    return (
        name if len(name) <= _MOST_OF_ID else f"{name[: _MOST_OF_ID - 1]}…",
        f"{one.readings:.0f}",
        f"{one.rejected:.0f}",
        f"{one.quality:.2f}",
        with_margin(float(one.level), INTERVAL * float(one.level_sd)),
        with_margin(7 * float(one.slope), 7 * INTERVAL * float(one.slope_sd), sign=True),
        f"{moment_at(int(one.as_of)):%Y-%m-%d}",
    )
