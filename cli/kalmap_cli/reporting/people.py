"""The users of a sample: how far each moved, what was rejected, and who needs a look."""

import contextlib
from collections.abc import Iterator
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.batch.folder import Folder
from kalmap.errors import InputNotFound
from kalmap.profile import Profile
from kalmap.readings import F64, I64
from kalmap.store.ports import Change
from kalmap_cli.reporting.estimates import (
    BENEFIT,
    Estimates,
    cautious_quality,
    estimates_of,
    nothing_known,
)
from kalmap_cli.reporting.sample import Sample
from kalmap_cli.stored_bodies import read_bodies


class People(NamedTuple):
    """A batch's users, a column a field; (users,) each. NaN stands for what is not known."""

    users: list[str]
    readings: I64
    rejected: I64
    restarts: I64
    quality: F64
    """Mean of the folded readings."""
    moved: F64
    """Level at the last reading of the batch less that at the first one."""
    estimates: Estimates

    def notable(self, most: int) -> list[int]:
        """The users who need a look, the most notable first: by drift, rejections and quality.

        They take turns, so that none of the three crowds out the others.
        """
        keys = (
            -np.nan_to_num(self.estimates.drift),
            -self.rejected / (self.readings + BENEFIT),
            cautious_quality(self.quality, self.readings),
        )
        orders = [np.argsort(key, kind="stable")[:most].tolist() for key in keys]
        taken: dict[int, None] = {}
        for turn in zip(*orders, strict=True):
            taken.update(dict.fromkeys(turn))
        return list(taken)[:most]


def people_of(sample: Sample, folder: Folder, profile: Profile) -> People:
    """Sum up the users of a sample."""
    known = sample.user >= 0
    user, count = sample.user[known], len(sample.users)
    level, quality = sample.numbers["level"][known], sample.numbers["quality"][known]
    folded = ~np.isnan(level)
    qualities = np.bincount(user[folded], quality[folded], minlength=count)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_quality = qualities / np.bincount(user[folded], minlength=count)
    return People(
        sample.users,
        np.bincount(user, minlength=count),
        np.bincount(user[sample.of_status("rejected")[known]], minlength=count),
        np.bincount(user[sample.restarted[known]], minlength=count),
        mean_quality,
        _moved(user[folded], sample.time[known][folded], level[folded], count),
        _estimates(sample, folder, profile),
    )


def _moved(user: NDArray[np.int32], time: NDArray[np.datetime64], level: F64, count: int) -> F64:
    """Each user's last level less the first one."""
    order = np.lexsort((time, user))
    user, level = user[order], level[order]
    moved = np.full(count, np.nan)
    if user.size:
        starts = np.flatnonzero(np.diff(user, prepend=-1))
        ends = np.append(starts[1:], user.size) - 1
        moved[user[starts]] = level[ends] - level[starts]
    return moved


def _estimates(sample: Sample, folder: Folder, profile: Profile) -> Estimates:
    """What the batch's new states say; NaN for users whose state is unchanged, or damaged."""
    found = nothing_known(len(sample.users))
    positions = {name: position for position, name in enumerate(sample.users)}
    bodies = {
        positions[change.user]: change.body
        for round_ in range(folder.rounds())
        for change in _changes(folder, round_, sample.shards)
        if change.user in positions
    }
    is_sound = read_bodies(list(bodies.values())).is_sound
    rows = np.fromiter(bodies, np.int64)[is_sound]
    estimates = estimates_of(profile, list(compress(bodies.values(), is_sound)))
    for column, values in zip(found, estimates, strict=True):
        column[rows] = values
    return found


def _changes(folder: Folder, round_: int, shards: list[int]) -> Iterator[Change]:
    """The new states of some shards. A shard that failed has none."""
    for shard in shards:
        with contextlib.suppress(InputNotFound):
            yield from folder.changes(round_, shard)
