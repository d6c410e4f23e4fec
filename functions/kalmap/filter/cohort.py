"""A cohort: as many users as fit the processor's cache, folded whole, from bodies to bodies."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kalmap.filter import codec, gate, window
from kalmap.filter.bodies import Bodies
from kalmap.filter.columns import REASON_BITS, RESTARTED, Checkpoints, Decoded, Entries, Recovery
from kalmap.filter.forward import Scratch, forward
from kalmap.filter.model import MICROSECONDS_PER_DAY
from kalmap.filter.path import Path
from kalmap.filter.quality import quality
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile
from kalmap.readings import F64, I32, I64, U8, U64, Bool, Readings

_REASON = np.uint8(REASON_BITS)


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


class Results(NamedTuple):
    """What became of each reading; arrays (readings,). See fold.Folded."""

    reason: U8
    restarted: Bool
    level: F64
    level_sd: F64
    slope: F64
    predicted: F64
    innovation: F64
    nis: F64
    quality: F64
    rate: F64

    def part(self, some: slice | I64) -> "Results":
        """Those of some readings; with a slice, a view."""
        return Results._make(column[some] for column in self)


class States(NamedTuple):
    """What became of each user; of length (users,). See fold.Folded."""

    changed: Bool
    failure: U8
    level: F64
    slope: F64
    as_of: I64
    revisions: Revisions
    errors: dict[int, str]


def no_results(readings: int) -> Results:
    """Room for results."""
    columns = [np.empty(readings) for _ in range(8)]
    return Results(np.empty(readings, np.uint8), np.empty(readings, np.bool_), *columns)


def fold_cohort(
    profile: Profile,
    rule: gate.Rules,
    mark: bytes,
    bodies: Sequence[bytes | None],
    new: Readings,
    arrivals: I64,
    now: int,
    results: Results,
    written: Bodies,
    scratch: Scratch,
    *,
    adopt_profile: bool,
) -> States:
    """Fold a cohort of users.

    Args:
        profile: Model and policy.
        rule: The policy as the filter uses it.
        mark: The profile's digest.
        bodies: Stored state of each user; None for a new one.
        new: Readings, user after user, within a user in any order.
        arrivals: (users,) How many of each.
        now: The batch's time, microseconds since 1970 UTC.
        results: Written, in the readings' order.
        written: The new states; written where there is one.
        scratch: Memory that cohorts have in common.
        adopt_profile: Go on with states folded under another profile of this name.

    Raises:
        ArithmeticError: Some user's estimate is not finite.
    """
    state = codec.decode(bodies, mark, adopt=adopt_profile)
    merged = window.merge(profile, state, new, arrivals, now)
    reason, counts, entries, origin, _ = merged
    states = unchanged(state.failure)
    active = np.flatnonzero(counts)
    if active.size:
        counts = counts[active]
        cut = window.absorbed(profile, counts, entries.time)
        path = filtered(profile, rule, state, active, counts, entries, cut, scratch)
        # One NaN or infinity among the estimates makes their sum one too.
        if not np.isfinite(path.estimate.sum()):
            raise ArithmeticError("the estimate left the range of floating-point numbers")
        decided = path.mark.take(path.place, mode="clip")
        _report(profile, new, merged, path, decided, results)
        if state.counts.any():
            revisions = _revisions(active, counts, entries, origin, decided)
            states = states._replace(revisions=revisions)
        _store(states, written, mark, state, active, counts, cut, entries, path, decided)
    else:
        results.reason[:] = reason
        results.restarted[:] = False
        for column in results[2:]:
            column[:] = np.nan
    if state.failure.any():
        failed = state.failure[new.user]
        results.reason[failed > 0] = failed[failed > 0]
    return states


def unchanged(failure: U8) -> States:
    """States nobody has changed yet."""
    users = failure.size
    return States(
        np.zeros(users, np.bool_),
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
    scratch: Scratch | None = None,
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
        scratch: Memory for the path.
    """
    start = state.checkpoints
    if active.size < state.counts.size:
        start = Checkpoints._make(part[..., active] for part in start)
    first = np.cumsum(counts) - counts
    gap = np.empty(entries.time.size)
    np.subtract(entries.time[1:], entries.time[:-1], out=gap[1:], casting="unsafe")
    gap[first] = np.where(start.exists, entries.time[first] - start.time, 0)
    gap /= MICROSECONDS_PER_DAY
    recovery = Recovery(start.candidate, start.agreeing, start.support)
    return forward(
        profile, rule, counts, gap, entries.value, entries.source, start.exists, start.estimate,
        recovery, snapshot, scratch,
    )  # fmt: skip


def _report(
    profile: Profile,
    new: Readings,
    merged: window.Merged,
    path: Path,
    decided: U8,
    results: Results,
) -> None:
    """Write estimates and decisions of the new readings, in their order."""
    reason, origin = merged.reason, merged.origin
    unfolded = None
    if merged.plain:
        place, mark = path.place, decided
    else:
        arrived = np.flatnonzero(origin >= 0)
        place = np.zeros(reason.size, np.int64)
        place[origin[arrived]] = path.place[arrived]
        mark = np.zeros(reason.size, np.uint8)
        mark[origin[arrived]] = decided[arrived]
        unfolded = np.flatnonzero(reason)
    # mode="clip" spares numpy a buffer; no place is outside.
    for column, source in (
        (results.level, path.estimate[0]),
        (results.level_sd, path.estimate[2]),
        (results.slope, path.estimate[1]),
        (results.predicted, path.predicted),
        (results.nis, path.nis),
        (results.rate, path.rate),
    ):
        np.take(source, place, out=column, mode="clip")
    np.sqrt(results.level_sd, out=results.level_sd)
    np.subtract(new.value, results.predicted, out=results.innovation)
    quality(profile, results.nis, results.rate, new.source, results.quality)
    if unfolded is not None:
        for column in results[2:]:
            column[unfolded] = np.nan
    np.bitwise_or(reason, mark & _REASON, out=results.reason)
    np.greater(mark & np.uint8(RESTARTED), 0, out=results.restarted)


def _revisions(active: I64, counts: I64, entries: Entries, origin: I64, decided: U8) -> Revisions:
    """Stored readings whose decision is another now."""
    old = entries.mark & _REASON
    now = decided & _REASON
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
    states: States,
    written: Bodies,
    mark: bytes,
    state: Decoded,
    active: I64,
    counts: I64,
    cut: I64,
    entries: Entries,
    path: Path,
    decided: U8,
) -> None:
    """Move the checkpoints, cut the windows, and write the new states."""
    ends = np.cumsum(counts)
    everyone = active.size == state.counts.size
    start = state.checkpoints
    if not everyone:
        start = Checkpoints._make(part[..., active] for part in start)
    moved = np.flatnonzero(cut)
    if moved.size:
        last = (ends - counts + cut - 1)[moved]
        start.exists[moved] = True
        start.time[moved] = entries.time[last]
        start.tag[moved] = entries.tag[last]
        start.hash[moved] = entries.hash[last]
        start.estimate[:, moved] = path.estimate[:, path.place[last]]
    recovery = path.recovery
    checkpoints = start._replace(
        candidate=recovery.candidate, agreeing=recovery.agreeing, support=recovery.support
    )
    # Each of these users has a reading stored that was not, or another digest: a new state.
    whom = None if everyone else active
    kept = counts - cut
    codec.encode(
        checkpoints, kept, entries._replace(mark=decided), mark, ends - kept, written, whom
    )
    final = path.place[ends - 1]
    states.changed[active] = True
    states.level[active] = path.estimate[0, final]
    states.slope[active] = path.estimate[1, final]
    states.as_of[active] = entries.time[ends - 1]


def failed(error: Exception, results: Results, written: Bodies) -> States:
    """The state of the one user whose fold raised, and his results."""
    results.reason[:] = Reason.USER_FAILED
    results.restarted[:] = False
    for column in results[2:]:
        column[:] = np.nan
    written.rows[:] = 0
    states = unchanged(np.full(1, Reason.USER_FAILED, np.uint8))
    states.errors[0] = f"{type(error).__name__}: {error}"
    return states


def appended(parts: Sequence[States]) -> States:
    """The states of several cohorts, one after the other, as one."""
    first = 0
    revisions, errors = [], {}
    for part in parts:
        if part.revisions.user.size:
            shifted = part.revisions.user + np.int32(first)
            revisions.append(part.revisions._replace(user=shifted))
        errors.update({first + user: text for user, text in part.errors.items()})
        first += part.changed.size
    changed, failure, level, slope, as_of = (
        np.concatenate([part[column] for part in parts]) for column in range(5)
    )
    return States(changed, failure, level, slope, as_of, joined(revisions), errors)
