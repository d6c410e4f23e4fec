"""`kalmap users`: the users who need a look, from their stored states."""

import argparse
import sys
from pathlib import Path

from kalmap.plural import counted
from kalmap.store.profiles import Profiles
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.file_names import shortened
from kalmap_cli.reporting.stored_users import COLUMNS, Group, groups_of
from kalmap_cli.terminal import fit_to_terminal
from kalmap_cli.text_table import fitting

_HEADS = ("user", *COLUMNS)
#: The first and the last column are text.
_NUMBERS = range(1, len(COLUMNS))


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
        groups, notes = groups_of(states, profiles)
    if not states:
        under = f" under the profile {wanted!r}" if wanted else ""
        raise WrongUsage(f"There is no stored state{under}. `kalmap run FILE` stores some.")
    for group in groups:
        _print(group, arguments.by, arguments.most)
    for note in notes:
        print(fit_to_terminal(note, sys.stderr), file=sys.stderr)
    return DONE


def _print(group: Group, by: str, most: int) -> None:
    order = group.order(by)[:most]
    rows = [_HEADS, *(_row(group, user) for user in order)]
    shown = f"{len(order):,} of {counted(len(group.users), 'user')} by {by}"
    print(f"{group.profile}, in {group.unit}: {shown}")
    print("\n".join(fitting(rows, _NUMBERS, sys.stdout)))


def _row(group: Group, user: int) -> tuple[str, ...]:
    return (shortened(group.users[user]), *group.cells(user))
