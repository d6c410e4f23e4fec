"""The online path: a request's measurements, answered at once.

A request is a batch of one chunk and one shard, and goes through the same parser, fold, store
and encoder. Its users are taken in groups, each with a deadline of its own, so that trouble in
one group stays there. A user is written whole or not at all, whenever the time ends.
"""

import math
import random
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.api.cached_states import CachedStates
from kalmap.errors import StoreUnavailable
from kalmap.filter.cohort import Revisions, concat_revisions
from kalmap.filter.fold import Folded, fold_users
from kalmap.filter.outcomes import Outcomes, failed_outcomes
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile
from kalmap.readings import I32, Bool, Readings
from kalmap.records.parse import Parsed
from kalmap.records.shards import ShardInput, assemble, route
from kalmap.results.changes import changes
from kalmap.results.lines import (
    count_outcomes,
    encode,
    encode_revisions,
    encode_unreadable,
)
from kalmap.results.report import Report
from kalmap.results.summary import summarise
from kalmap.results.totals import Totals, total
from kalmap.store.ports import StoredState

#: Rounds after which a user fails whose state others change again and again.
MAX_ROUNDS = 30
#: After a conflict the other's state is known, so the pauses are short at first.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.02
_SUMMARY_FIELDS = ("readings", "users", "quality", "time", "database", "hints")


class Pace(NamedTuple):
    """How much of a request is processed at a time, and how long."""

    group: int
    """Users per group."""
    workers: int
    """Groups at a time."""
    seconds: float
    """For the whole request."""


class Request(NamedTuple):
    """Measurements to be answered."""

    name: str
    """Names the request's writes; no two requests have the same."""
    measurements: Parsed
    profile: Profile
    adopt_profile: bool
    now: int
    """Microseconds since 1970 UTC."""


class Answer(NamedTuple):
    """What became of a request's measurements; lines are JSON, one object each."""

    results: bytes
    """In the measurements' order."""
    unreadable: bytes
    """What is wrong with those that could not be read."""
    revisions: bytes
    summary: dict[str, Any]
    totals: Totals


def answer_request(request: Request, states: CachedStates, pace: Pace) -> Answer:
    """Fold a request's measurements into their users' states.

    Args:
        request: At least one measurement.
        states: Where the states are.
        pace: Groups, workers and time.

    Returns:
        A result for every measurement. Users whom the time, the table or other writers kept
        from being finished have `failed` ones, and may be sent again.

    Raises:
        StoreUnavailable: No user could be processed, or the table was not asked because the
            circuit breaker is open.
    """
    began = datetime.now(UTC)
    slices, _ = route(request.measurements, 0, 1)
    shard = assemble([(0, 0, 0, slices)], request.profile)
    groups = _run_groups(request, shard, states, pace)
    troubles = [group.trouble for group in groups if group.trouble]
    if troubles and len(troubles) == len(groups):
        raise troubles[0]
    outcomes = _blank(len(shard.ids))
    for group in groups:
        _fill(outcomes, group.rows, group.outcomes)
    unread = count_outcomes(_blank(0), shard.unread)
    parsing = Report(step="partition", records=request.measurements.records, readings=unread)
    totals = total([parsing, *(group.report for group in groups)])
    return Answer(
        results=encode(shard, outcomes),
        unreadable=encode_unreadable(shard.unread, ["measurements"]),
        revisions=encode_revisions(
            shard.users, concat_revisions([part for group in groups for part in group.revisions])
        ),
        summary=_summary(totals, max((group.rounds for group in groups), default=0), began),
        totals=totals,
    )


def _summary(totals: Totals, rounds: int, began: datetime) -> dict[str, Any]:
    whole = summarise(
        totals,
        identity={},
        status="succeeded",
        reason=None,
        rounds=rounds,
        started=began,
        finished=datetime.now(UTC),
    )
    # Groups are worked off side by side: there are no phases.
    del whole["time"]["phases"]
    return {name: whole[name] for name in _SUMMARY_FIELDS}


class _GroupResult(NamedTuple):
    """What became of a group."""

    rows: NDArray[np.intp]
    """Its readings' positions in the shard."""
    outcomes: Outcomes
    """Aligned with them."""
    revisions: list[Revisions]
    report: Report
    rounds: int
    trouble: StoreUnavailable | None
    """The error that failed the whole group; None if it only ran out of time."""


def _run_groups(
    request: Request, shard: ShardInput, states: CachedStates, pace: Pace
) -> list[_GroupResult]:
    starts = range(0, len(shard.users), pace.group)
    workers = max(1, min(pace.workers, len(starts)))
    # Groups that wait for a worker keep their share of the time, however slow those before.
    share = pace.seconds / max(1, math.ceil(len(starts) / workers))
    end = time.monotonic() + pace.seconds

    def run(start: int) -> _GroupResult:
        deadline = min(end, time.monotonic() + share)
        stop = start + pace.group
        return _Group(request, shard, start, stop, states, deadline=deadline).run()

    if workers == 1:
        return [run(start) for start in starts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, starts))


class _Group:
    """A group of a request's users, from their stored states to their new ones."""

    def __init__(
        self,
        request: Request,
        shard: ShardInput,
        start: int,
        stop: int,
        states: CachedStates,
        *,
        deadline: float,
    ) -> None:
        self._request = request
        self._states = states
        self._deadline = deadline
        self._start = start
        self._users = shard.users[start:stop]
        user = shard.readings.user
        self._rows = np.flatnonzero((user >= start) & (user < stop))
        self._readings = Readings._make(column[self._rows] for column in shard.readings)
        self._readings = self._readings._replace(user=self._readings.user - np.int32(start))
        self._outcomes = _blank(len(self._rows))
        self._revisions: list[Revisions] = []
        self._report = Report(step="filter", users=len(self._users), started=time.time())
        self._trouble: StoreUnavailable | None = None

    def run(self) -> _GroupResult:
        """Round after round, until every user is written, needs no write, or has failed."""
        known, pending, kept = self._begin()
        round_ = 0
        while pending:
            again = self._round(round_, pending, known, kept)
            pending, kept = list(again), set()
            known = {user: state for user, state in again.items() if state}
            if not pending:
                break
            round_ += 1
            if round_ == MAX_ROUNDS:
                self._fail(pending, Reason.CONFLICT)
            elif not self._pause(round_):
                self._fail(pending, Reason.TIMED_OUT)
            else:
                continue
            break
        return self._result(round_)

    def _begin(self) -> tuple[dict[str, StoredState], list[str], set[str]]:
        """Collect the states to start from.

        Returns:
            States by user, the users to process, and the users whose state came from the cache.
        """
        name = self._request.profile.name
        known = self._states.recall(name, self._users)
        kept = set(known)
        missing = [user for user in self._users if user not in kept]
        loaded = self._load(missing)
        if loaded is None:
            return known, list(known), kept
        return known | loaded, self._users, kept

    def _round(
        self,
        round_: int,
        pending: list[str],
        known: dict[str, StoredState],
        kept: set[str],
    ) -> dict[str, StoredState | None]:
        """Fold and write once; gives the users that have to go round again, with their states."""
        folded = self._fold(pending, known)
        changed = changes(pending, folded, known)
        again: dict[str, StoredState | None] = {}
        failed: set[str] = set()
        if changed:
            try:
                written = self._states.write(
                    self._request.profile.name,
                    changed,
                    request=self._request.name,
                    round_=round_,
                    deadline=self._deadline,
                )
            except StoreUnavailable as error:
                failed = {change.user for change in changed}
                self._give_up(failed, error)
            else:
                self._report.database += written.use
                self._report.written += len(written.stored)
                self._report.conflicts += sorted(written.conflicts)
                failed = set(written.failed)
                self._fail(failed, Reason.TIMED_OUT if self._late() else Reason.USER_FAILED)
                again |= written.conflicts
        # A kept state over which nothing is written has not been compared with the table's.
        unsure = sorted(kept.intersection(pending).difference(change.user for change in changed))
        stored = self._load(unsure)
        if stored is None:
            failed.update(unsure)
        else:
            again |= {
                user: stored.get(user)
                for user in unsure
                if user not in stored or stored[user].version != known[user].version
            }
        self._keep(pending, folded, failed.union(again))
        return again

    def _fold(self, pending: list[str], known: dict[str, StoredState]) -> Folded:
        rows, code = self._of(pending)
        some = Readings._make(column[rows] for column in self._readings)
        folded = fold_users(
            self._request.profile,
            [known[user].body if user in known else None for user in pending],
            some._replace(user=code[some.user]),
            self._request.now,
            adopt_profile=self._request.adopt_profile,
        )
        _fill(self._outcomes, rows, folded.outcomes)
        return folded

    def _keep(self, pending: list[str], folded: Folded, lost: set[str]) -> None:
        """Count what the fold said of users that are settled now."""
        settled: Bool = np.array([user not in lost for user in pending], np.bool_)
        self._report.new_users += int(np.count_nonzero(folded.users.new & settled))
        revisions = folded.revisions
        if revisions.user.size:
            place = {user: number for number, user in enumerate(self._users, self._start)}
            whole = np.array([place[user] for user in pending], np.int32)
            chosen = settled[revisions.user]
            told = Revisions._make(column[chosen] for column in revisions)
            self._revisions.append(told._replace(user=whole[told.user]))

    def _load(self, users: list[str]) -> dict[str, StoredState] | None:
        """The table's states; None where they could not be read, and the users have failed."""
        if not users:
            return {}
        try:
            loaded = self._states.load(self._request.profile.name, users, self._deadline)
        except StoreUnavailable as error:
            self._give_up(users, error)
            return None
        self._report.database += loaded.use
        return loaded.states

    def _give_up(self, users: Iterable[str], error: StoreUnavailable) -> None:
        if self._late():
            self._fail(users, Reason.TIMED_OUT)
        else:
            self._trouble = error
            self._fail(users, Reason.SHARD_FAILED)

    def _fail(self, users: Iterable[str], reason: Reason) -> None:
        rows, _ = self._of(list(users))
        _fill(self._outcomes, rows, failed_outcomes(len(rows), reason))

    def _of(self, users: list[str]) -> tuple[NDArray[np.intp], I32]:
        """The readings' rows of some users, and each user's place among them, -1 for none."""
        place = {user: number for number, user in enumerate(users)}
        code = np.array([place.get(user, -1) for user in self._users], np.int32)
        return np.flatnonzero(code[self._readings.user] >= 0), code

    def _late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _pause(self, round_: int) -> bool:
        """Let the others finish; False where no time is left."""
        left = self._deadline - time.monotonic()
        pause = random.uniform(0.0, min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**round_))  # noqa: S311
        if pause >= left:
            return False
        time.sleep(pause)
        return True

    def _result(self, rounds: int) -> _GroupResult:
        outcomes, report = self._outcomes, self._report
        failed = outcomes.status == Status.FAILED
        accepted = outcomes.status == Status.ACCEPTED
        failed_users = len(np.unique(self._readings.user[failed]))
        report.readings = count_outcomes(outcomes, [])
        report.failed_users = failed_users
        report.quality_sum = math.fsum(outcomes.quality[accepted].tolist())
        report.quality_count = int(accepted.sum())
        report.ended = time.time()
        trouble = self._trouble if failed_users == len(self._users) else None
        return _GroupResult(self._rows, outcomes, self._revisions, report, rounds, trouble)


def _blank(readings: int) -> Outcomes:
    """Outcomes to be filled in; until then, of users for whom there was no time."""
    return failed_outcomes(readings, Reason.TIMED_OUT)


def _fill(outcomes: Outcomes, rows: NDArray[np.intp], values: Outcomes) -> None:
    columns: Iterable[tuple[Any, Any]] = zip(outcomes, values, strict=True)
    for column, part in columns:
        column[rows] = part
