"""Stored states as people read them: what the filter believes of each user, and a table of it."""

import math
import shutil
import sys
from collections.abc import Sequence

import msgspec

from kalmap import units
from kalmap.filter.estimates import newest_estimates, standard_deviations
from kalmap.moments import iso, moment_at
from kalmap.plural import counted
from kalmap.profile import Profile
from kalmap.store.ports import UserState
from kalmap.store.profiles import Profiles
from kalmap_cli.file_names import printable
from kalmap_cli.stored_bodies import read_bodies, rows_by_version
from kalmap_cli.terminal import fit_to_terminal
from kalmap_cli.text_table import aligned

#: Lines of a terminal that are left to the prompt, the header and the hint.
_OTHER_LINES = 6
_LONGEST_USER = 24
_NUMBERS = range(1, 5)


class ShownState(msgspec.Struct, frozen=True):
    """A user's state in readable fields, all of them in every line."""

    user_id: str
    profile: str
    unit: str | None
    """Null where the profile that the state was folded under is not stored, as the two standard
    deviations are."""
    level: float | None
    level_sd: float | None
    slope: float | None
    """Per day."""
    slope_sd: float | None
    as_of: str | None
    """Time of the newest reading."""
    readings: int | None
    """In the window."""


def shown_states(states: Sequence[UserState], profiles: Profiles) -> list[ShownState]:
    """States in readable fields, in the same order.

    Args:
        states: The states.
        profiles: The profiles that they were folded under.
    """
    shown = [
        ShownState(
            state.user, state.profile, None, state.level, None, state.slope, None,
            None if state.as_of is None else iso(moment_at(state.as_of)), None,
        )
        for state in states
    ]  # fmt: skip
    bodies = [state.state.body for state in states]
    is_sound = read_bodies(bodies).is_sound
    by_version = rows_by_version([state.profile for state in states], bodies, is_sound)
    for (name, digest), rows in by_version.items():
        profile = profiles.find(name, digest)
        if profile is not None:
            exact_of = _exact(profile, [bodies[row] for row in rows])
            for row, exact in zip(rows, exact_of, strict=True):
                shown[row] = msgspec.structs.replace(shown[row], unit=profile.unit, **exact)
    return shown


def _exact(profile: Profile, bodies: Sequence[bytes]) -> list[dict[str, float | int | str]]:
    newest = newest_estimates(profile, bodies)
    level_sd, slope_sd = standard_deviations(profile, newest)
    columns = (newest.estimate[0], level_sd, newest.estimate[1], slope_sd)
    return [
        {"level": level, "level_sd": sd, "slope": slope, "slope_sd": slope_sd_, "as_of": as_of,
         "readings": readings}
        for level, sd, slope, slope_sd_, as_of, readings in zip(
            *(column.tolist() for column in columns),
            [iso(moment_at(time)) for time in newest.as_of.tolist()],
            newest.states.counts.tolist(),
            strict=True,
        )
    ]  # fmt: skip


def print_table(states: Sequence[ShownState], options: str) -> None:
    """Print states as a table: on a terminal as many as fit on it, elsewhere all.

    Args:
        states: The states.
        options: Options of the deployment that has them.
    """
    if not states:
        print("There is no stored state. `kalmap run FILE` makes some.")
        return
    terminal = sys.stdout.isatty()
    most = max(10, shutil.get_terminal_size().lines - _OTHER_LINES) if terminal else len(states)
    same_kind = len({(state.profile, state.unit) for state in states}) == 1
    rows = [_cells(state, same_kind=same_kind, short=terminal) for state in states[:most]]
    header = ["user", "level", "± sd", "slope/day", "± sd", "last reading"]
    if not same_kind:
        header += ["unit", "profile"]
    print("\n".join(aligned([header, *rows], _NUMBERS)))
    if same_kind:
        unit = f", in {units.shown(states[0].unit)}" if states[0].unit else ""
        _tell(f"{counted(len(states), 'user')}{unit}, under the profile {states[0].profile}.")
    if len(states) > most:
        _tell(
            f"{most:,} of {len(states):,} states are shown. `kalmap states --user U{options}` "
            f"shows one, `kalmap states --out states.csv{options}` writes all."
        )
    if any(state.level_sd is None for state in states):
        _tell("A state without a standard deviation is damaged, or its profile is not stored here.")


def _cells(state: ShownState, *, same_kind: bool, short: bool) -> list[str]:
    user = printable(state.user_id)
    if short and len(user) > _LONGEST_USER:
        user = f"{user[: _LONGEST_USER - 1]}…"
    last = (state.as_of or "")[:16].replace("T", " ")
    cells = [
        user,
        *_with_sd(state.level, state.level_sd),
        *_with_sd(state.slope, state.slope_sd),
        last,
    ]
    return cells if same_kind else [*cells, units.shown(state.unit or ""), state.profile]


def _with_sd(value: float | None, sd: float | None) -> tuple[str, str]:
    """A number and its standard deviation, with the digits that the latter leaves a meaning."""
    if value is None:
        return "", ""
    if sd is None or not sd > 0.0:
        return f"{value:.4g}", ""
    decimals = min(max(1 - math.floor(math.log10(sd)), 0), 9)
    return f"{value:.{decimals}f}", f"{sd:.{decimals}f}"


def _tell(text: str) -> None:
    print(fit_to_terminal(text, sys.stdout))
