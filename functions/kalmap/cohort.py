"""A cohort: as many users as fit the processor's cache, folded whole, from bodies to bodies."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap import codec, gate, window
from kalmap.codec import Checkpoints, Decoded, Entries
from kalmap.forward import Path, forward
from kalmap.model import MICROSECONDS_PER_DAY
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile
from kalmap.quality import quality
from kalmap.readings import F64, I32, I64, U8, U64, Bool, Readings

#: Estimates of a reading, by their names in `fold.Folded`.
COLUMNS = ("level", "level_sd", "slope", "predicted", "innovation", "nis", "quality", "rate")

_REASON = np.uint8(codec.REASON_BITS)


class Revisions(NamedTuple):
    """Stored readings about which a late one changed the decision; arrays (revisions,)."""

    user: I32
    time: I64
    value: F64
    tag: U8
    hash: U64
    old_status: U8
    old_reason: U8
    new_status: U8
    new_reason: U8


class Part(NamedTuple):
    """`fold.Folded` of a cohort, its readings user after user."""

    reason: U8
    columns: dict[str, F64]
    restarted: Bool
    bodies: list[bytes | None]
    failure: U8
    user_level: F64
    user_slope: F64
    as_of: I64
    revisions: Revisions
    errors: dict[int, str]


def fold_cohort(
    profile: Profile,
    rule: gate.Rules,
    mark: bytes,
    bodies: Sequence[bytes | None],
    new: Readings,
    now: int,
    *,
    adopt_profile: bool,
) -> Part:
    """Fold a cohort of users.

    Args:
        profile: Model and policy.
        rule: The policy as the filter uses it.
        mark: The profile's digest.
        bodies: Stored state of each user; None for a new one.
        new: Readings, user after user, within a user in any order.
        now: The batch's time, microseconds since 1970 UTC.
        adopt_profile: Go on with states folded under another profile of this name.

    Raises:
        ArithmeticError: Some user's estimate is not finite.
    """
    state = codec.decode(bodies, mark, adopt=adopt_profile)
    reason, counts, entries, origin = window.merge(profile, state, new, now)
    part = nothing(reason, state.failure)
    active = np.flatnonzero(counts)
    if active.size:
        counts = counts[active]
        cut = window.absorbed(profile, counts, entries.time)
        path = filtered(profile, rule, state, active, counts, entries, cut)
        # One NaN or infinity among the estimates makes their sum one too.
        if not np.isfinite(path.estimate.sum()):
            raise ArithmeticError("the estimate left the range of floating-point numbers")
        part = _with_results(profile, part, new, origin, path)
        part = part._replace(revisions=_revisions(active, counts, entries, origin, path))
        _store(part, bodies, mark, state, active, counts, cut, entries, path)
    if state.failure.any():
        failed = state.failure[new.user]
        part.reason[failed > 0] = failed[failed > 0]
    return part


def nothing(reason: U8, failure: U8) -> Part:
    """A part where nothing was folded."""
    users = failure.size
    return Part(
        reason,
        {name: np.full(reason.size, np.nan) for name in COLUMNS},
        np.zeros(reason.size, np.bool_),
        [None] * users,
        failure,
        np.full(users, np.nan),
        np.full(users, np.nan),
        np.zeros(users, np.int64),
        joined([]),
        {},
    )


def joined(parts: Sequence[Revisions]) -> Revisions:
    """Several cohorts' revisions as one."""
    if parts:
        return Revisions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    kinds = ("i4", "i8", "f8", "u1", "u8", "u1", "u1", "u1", "u1")
    return Revisions(*(np.zeros(0, kind) for kind in kinds))


def filtered(
    profile: Profile,
    rule: gate.Rules,
    state: Decoded,
    active: I64,
    counts: I64,
    entries: Entries,
    snapshot: I64,
) -> Path:
    """Run the filter over the readings of the active users, each from his checkpoint.

    Args:
        profile: Model and policy.
        rule: The policy as the filter uses it.
        state: Of all users of the chunk.
        active: Positions of those who have readings.
        counts: (active,) How many.
        entries: Their readings.
        snapshot: (active,) After how many readings to note the recovery.
    """
    start = state.checkpoints
    exists = start.exists[active]
    first = np.cumsum(counts) - counts
    gap = np.empty(entries.time.size)
    np.subtract(entries.time[1:], entries.time[:-1], out=gap[1:], casting="unsafe")
    gap[first] = np.where(exists, entries.time[first] - start.time[active], 0)
    gap /= MICROSECONDS_PER_DAY
    recovery = gate.Recovery(
        start.candidate[:, active], start.agreeing[active], start.support[active]
    )
    estimate = start.estimate[:, active]
    return forward(
        profile, rule, counts, gap, entries.value, entries.source, exists, estimate, recovery,
        snapshot,
    )  # fmt: skip


def _with_results(profile: Profile, part: Part, new: Readings, origin: I64, path: Path) -> Part:
    """Estimates and decisions of the new readings, in their order."""
    size = new.time.size
    arrived = origin >= 0
    place = np.full(size, -1)
    place[origin[arrived]] = path.place[arrived]
    folded = place >= 0
    level, slope, p00, _, _ = path.estimate
    predicted, rate = path.predicted[place], path.rate[place]
    nis = path.nis[place]
    columns = {
        "level": level[place],
        "level_sd": np.sqrt(p00[place]),
        "slope": slope[place],
        "predicted": predicted,
        "innovation": (new.value + 0.0) - predicted,
        "nis": nis,
        "quality": quality(profile, nis, rate, new.source),
        "rate": rate,
    }
    mark = path.mark[place]
    if not folded.all():
        unfolded = ~folded
        for column in columns.values():
            column[unfolded] = np.nan
        mark[unfolded] = 0
    reason = part.reason | (mark & _REASON)
    return part._replace(reason=reason, columns=columns, restarted=(mark & codec.RESTARTED) > 0)


def _revisions(active: I64, counts: I64, entries: Entries, origin: I64, path: Path) -> Revisions:
    """Stored readings whose decision is another now."""
    old = entries.mark & _REASON
    now = path.mark[path.place] & _REASON
    other = np.flatnonzero((origin < 0) & (old != now))
    if not other.size:
        return joined([])
    user = np.repeat(active, counts)[other].astype(np.int32)
    rejected, accepted = np.uint8(Status.REJECTED), np.uint8(Status.ACCEPTED)
    return Revisions(
        user,
        entries.time[other],
        entries.value[other],
        entries.tag[other],
        entries.hash[other],
        np.where(old[other] > 0, rejected, accepted),
        old[other],
        np.where(now[other] > 0, rejected, accepted),
        now[other],
    )


def _store(
    part: Part,
    bodies: Sequence[bytes | None],
    mark: bytes,
    state: Decoded,
    active: I64,
    counts: I64,
    cut: I64,
    entries: Entries,
    path: Path,
) -> None:
    """Move the checkpoints, cut the windows, and write the new states into `part`."""
    ends = np.cumsum(counts)
    start = state.checkpoints
    moved = cut > 0
    last = np.maximum(ends - counts + cut - 1, 0)
    absorbed = path.place[last]
    checkpoints = Checkpoints(
        start.exists[active] | moved,
        np.where(moved, entries.time[last], start.time[active]),
        np.where(moved, entries.tag[last], start.tag[active]),
        np.where(moved, entries.hash[last], start.hash[active]),
        np.where(moved, path.estimate[:, absorbed], start.estimate[:, active]),
        *path.recovery,
    )
    kept = np.arange(entries.time.size) >= np.repeat(ends - counts + cut, counts)
    marked = entries._replace(mark=path.mark[path.place])
    windows = Entries._make(column[kept] for column in marked)
    written = codec.encode(checkpoints, counts - cut, windows, mark)
    for user, body in zip(active.tolist(), written, strict=True):
        if body != bodies[user]:
            part.bodies[user] = body
    final = path.place[ends - 1]
    changed = [part.bodies[user] is not None for user in active.tolist()]
    shown = active[changed]
    part.user_level[shown] = path.estimate[0, final[changed]]
    part.user_slope[shown] = path.estimate[1, final[changed]]
    part.as_of[shown] = entries.time[ends - 1][changed]


def failed(readings: int, error: Exception) -> Part:
    """The part of the one user whose fold raised."""
    reason = np.full(readings, Reason.USER_FAILED, np.uint8)
    part = nothing(reason, np.full(1, Reason.USER_FAILED, np.uint8))
    part.errors[0] = f"{type(error).__name__}: {error}"
    return part


def appended(low: Part, high: Part, users: int) -> Part:
    """Two parts as one; `users` is how many `low` has."""
    shifted = high.revisions._replace(user=high.revisions.user + np.int32(users))
    return Part(
        np.concatenate((low.reason, high.reason)),
        {name: np.concatenate((low.columns[name], high.columns[name])) for name in COLUMNS},
        np.concatenate((low.restarted, high.restarted)),
        low.bodies + high.bodies,
        np.concatenate((low.failure, high.failure)),
        np.concatenate((low.user_level, high.user_level)),
        np.concatenate((low.user_slope, high.user_slope)),
        np.concatenate((low.as_of, high.as_of)),
        joined([low.revisions, shifted]),
        low.errors | {user + users: text for user, text in high.errors.items()},
    )
