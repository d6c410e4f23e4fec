"""Comparing states of the same users: whose decisions and levels differ, and by how much."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap.filter.algebra import LEVEL
from kalmap.filter.columns import REASON_BITS
from kalmap.filter.estimates import newest_estimates, standard_deviations
from kalmap.moments import iso, moment_at
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile
from kalmap.store.profiles import Profiles
from kalmap_cli.stored_bodies import read_bodies, rows_by_version

#: States that are folded at once.
_BLOCK = 5000
#: What identifies a reading of a window: time, tag and hash.
_Key = tuple[int, int, int]


class Pair(NamedTuple):
    """Two states of a user."""

    user: str
    stored: bytes | None
    """None if there is none."""
    new: bytes


class Changed(msgspec.Struct):
    """A reading that both windows have, and about which they decide differently."""

    timestamp: str
    value: float
    stored: str
    """`accepted`, or why it was rejected."""
    new: str


class UserDifference(msgspec.Struct):
    """A user whose states differ after the same newest reading."""

    user_id: str
    stored_level: float
    stored_sd: float
    new_level: float
    new_sd: float
    change: float
    """Of the level, in the profile's unit."""
    change_in_sd: float
    """The same in standard deviations of the stored level."""
    decisions: list[Changed]


class Comparison(msgspec.Struct):
    """What a comparison has found."""

    same: int = 0
    """Users whose states are the same bytes."""
    compared: int = 0
    """Users whose states differ and have the same newest reading."""
    readings: int = 0
    """Readings of theirs that both windows have."""
    other_reading: int = 0
    """Users whose states have another newest reading each: they cannot be compared."""
    not_stored: int = 0
    """Users with a new state only."""
    unreadable: int = 0
    """Users with a damaged state, or one of a profile that is not stored here."""
    decisions: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """Readings by decision, the stored and the new one, where they differ."""
    users: list[UserDifference] = []
    """Users whose level or decisions differ."""

    @property
    def users_with_other_decisions(self) -> int:
        """Users with a reading about which the states decide differently."""
        return sum(bool(user.decisions) for user in self.users)


class _View(NamedTuple):
    level: float
    level_sd: float
    as_of: int
    readings: dict[_Key, tuple[float, int]]
    """Value and reason of each reading in the window."""


def compare_states(
    pairs: Iterable[Pair], profiles: Profiles, *, stored: str, new: str, into: Comparison
) -> None:
    """Compare states.

    Args:
        pairs: Of each user.
        profiles: The profiles that the states were folded under.
        stored: Name of the profile of the stored states.
        new: The same of the new ones.
        into: What is found is added to it.
    """
    rest = iter(pairs)
    while block := list(islice(rest, _BLOCK)):
        both = []
        for pair in block:
            if pair.stored is None:
                into.not_stored += 1
            elif pair.stored == pair.new:
                into.same += 1
            else:
                both.append(pair)
        before = _views(stored, [pair.stored or b"" for pair in both], profiles)
        after = _views(new, [pair.new for pair in both], profiles)
        for pair, one, other in zip(both, before, after, strict=True):
            _compare(into, pair.user, one, other)


def _compare(result: Comparison, user: str, stored: _View | None, new: _View | None) -> None:
    if stored is None or new is None:
        result.unreadable += 1
        return
    if stored.as_of != new.as_of:
        result.other_reading += 1
        return
    result.compared += 1
    decisions = []
    for key in stored.readings.keys() & new.readings.keys():
        result.readings += 1
        (value, before), (_, after) = stored.readings[key], new.readings[key]
        if before != after:
            texts = _label(before), _label(after)
            result.decisions[texts] += 1
            decisions.append(Changed(iso(moment_at(key[0])), value, *texts))
    decisions.sort(key=lambda each: each.timestamp)
    change = new.level - stored.level
    in_sd = abs(change) / stored.level_sd if stored.level_sd > 0.0 else math.inf
    if change or decisions:
        result.users.append(
            UserDifference(
                user, stored.level, stored.level_sd, new.level, new.level_sd, change, in_sd,
                decisions,
            )
        )  # fmt: skip


def _label(reason: int) -> str:
    return Reason(reason).label or Status.ACCEPTED.label


def _views(profile: str, bodies: Sequence[bytes], profiles: Profiles) -> list[_View | None]:
    """What each state says; None of a state that cannot be read."""
    views: list[_View | None] = [None] * len(bodies)
    if not bodies:
        return views
    is_sound = read_bodies(bodies).is_sound
    versions = rows_by_version([profile] * len(bodies), bodies, is_sound)
    for (name, digest), rows in versions.items():
        version = profiles.find(name, digest)
        if version is not None:
            for row, view in zip(rows, _fold(version, [bodies[row] for row in rows]), strict=True):
                views[row] = view
    return views


def _fold(profile: Profile, bodies: Sequence[bytes]) -> Iterator[_View]:
    newest = newest_estimates(profile, bodies)
    level_sd, _ = standard_deviations(profile, newest)
    entries = newest.states.entries
    keys = list(
        zip(entries.time.tolist(), entries.tag.tolist(), entries.hash.tolist(), strict=True)
    )
    decided = list(zip(entries.value.tolist(), (newest.flags & REASON_BITS).tolist(), strict=True))
    end = 0
    for level, sd, as_of, count in zip(
        newest.estimate[LEVEL].tolist(),
        level_sd.tolist(),
        newest.as_of.tolist(),
        newest.states.counts.tolist(),
        strict=True,
    ):
        start, end = end, end + count
        yield _View(level, sd, as_of, dict(zip(keys[start:end], decided[start:end], strict=True)))


def quantiles(comparison: Comparison) -> Mapping[float, float]:
    """Quantiles of the change of level in standard deviations, over all compared users."""
    moved = [user.change_in_sd for user in comparison.users]
    moved += [0.0] * (comparison.same + comparison.compared - len(moved))
    if not moved:
        return {}
    shares = (0.5, 0.95, 1.0)
    return dict(zip(shares, np.quantile(moved, shares).tolist(), strict=True))
