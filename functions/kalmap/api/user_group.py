"""A group of a request's users: folded and written in rounds, until every user is finished.

A round folds the users' readings into their states and writes the changed states. Users whose state
another writer has changed meanwhile go into the next round. A user's readings are written together
or not at all, even if the time ends.
"""

import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalmap.api.cached_states import CachedStates
from kalmap.errors import StoreUnavailable
from kalmap.filter.cohort import Revisions
from kalmap.filter.decisions import Decisions, failed_decisions
from kalmap.filter.fold import Folded, fold_users
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile
from kalmap.readings import I32, Bool, Readings
from kalmap.records.parse import Parsed
from kalmap.records.shards import ShardInput
from kalmap.results.changes import changes
from kalmap.results.lines import count_decisions
from kalmap.results.report import Report
from kalmap.store.ports import Change, StoredState

#: A user fails after this many rounds, if others change their state in each of them.
MAX_ROUNDS = 30
#: Seconds. After a conflict the other writer's state is known, so the first pauses are short.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.0001, 0.02


class Request(NamedTuple):
    """The measurements of a request, parsed."""

    name: str
    """Names the request's writes. No two requests have the same name."""
    measurements: Parsed
    profile: Profile
    adopt_profile: bool
    now: int
    """Microseconds since 1970 UTC."""


class GroupResult(NamedTuple):
    """The outcome of a group."""

    rows: NDArray[np.intp]
    """Positions of the group's readings in the shard."""
    decisions: Decisions
    """One for each of these readings, in the same order."""
    revisions: list[Revisions]
    report: Report
    rounds: int
    """Rounds after the first."""
    error: StoreUnavailable | None
    """The error that failed the whole group. None if only the time ended."""


class _Round(NamedTuple):
    """The users of a round, and the states that it starts from."""

    number: int
    users: list[str]
    states: Mapping[str, StoredState]
    """Stored states by user. A new user has none."""
    cached: frozenset[str] = frozenset()
    """Users whose state is from the cache, and may be older than the table's."""


class UserGroup:
    """A group of a request's users, from their stored states to their new ones.

    Args:
        request: The request.
        shard: Its readings.
        members: Positions of the group's users in the shard.
        states: Access to the stored states.
        deadline: When to stop, on the monotonic clock.
    """

    def __init__(
        self,
        request: Request,
        shard: ShardInput,
        members: range,
        states: CachedStates,
        deadline: float,
    ) -> None:
        self._request = request
        self._states = states
        self._deadline = deadline
        self._start = members.start
        self._users = shard.users[members.start : members.stop]
        user = shard.readings.user
        self._rows = np.flatnonzero((user >= members.start) & (user < members.stop))
        readings = Readings._make(column[self._rows] for column in shard.readings)
        self._readings = readings._replace(user=readings.user - np.int32(members.start))
        self._decisions = failed_decisions(len(self._rows), Reason.TIMED_OUT)
        self._revisions: list[Revisions] = []
        self._report = Report(step="filter", users=len(self._users), started=time.time())
        self._error: StoreUnavailable | None = None

    def run(self) -> GroupResult:
        """Run rounds until every user is written, needs no write, or has failed."""
        current = self._first_round()
        while current.users:
            conflicts = self._run_round(current)
            if not conflicts:
                break
            states = {user: state for user, state in conflicts.items() if state}
            current = _Round(current.number + 1, list(conflicts), states)
            if current.number == MAX_ROUNDS:
                self._fail(current.users, Reason.CONFLICT)
                break
            if not self._pause(current.number):
                self._fail(current.users, Reason.TIMED_OUT)
                break
        return self._result(current.number)

    def _first_round(self) -> _Round:
        """Collect the states to start from. Users whose state cannot be read have failed."""
        recalled = self._states.recall(self._request.profile.name, self._users)
        cached = frozenset(recalled)
        loaded = self._load([user for user in self._users if user not in cached])
        if loaded is None:
            return _Round(0, list(recalled), recalled, cached)
        return _Round(0, self._users, recalled | loaded, cached)

    def _run_round(self, current: _Round) -> dict[str, StoredState | None]:
        """Fold and write once. Return the users in conflict, with their newest states."""
        folded = self._fold(current)
        changed = changes(current.users, folded, current.states)
        conflicts, failed = self._write(current.number, changed)
        # A write compares its state with the table's. Other cached states are compared here.
        compared = {change.user for change in changed}
        unchecked = sorted(current.cached.intersection(current.users).difference(compared))
        stored = self._load(unchecked)
        if stored is None:
            failed.update(unchecked)
        else:
            conflicts |= {
                user: stored.get(user)
                for user in unchecked
                if user not in stored or stored[user].version != current.states[user].version
            }
        self._record_finished(current.users, folded, failed.union(conflicts))
        return conflicts

    def _fold(self, current: _Round) -> Folded:
        """Fold the users' readings into their states, and fill in the readings' decisions."""
        rows, position = self._rows_of(current.users)
        readings = Readings._make(column[rows] for column in self._readings)
        states = current.states
        folded = fold_users(
            self._request.profile,
            [states[user].body if user in states else None for user in current.users],
            readings._replace(user=position[readings.user]),
            self._request.now,
            adopt_profile=self._request.adopt_profile,
        )
        fill_decisions(self._decisions, rows, folded.decisions)
        return folded

    def _write(
        self, round_: int, changed: Sequence[Change]
    ) -> tuple[dict[str, StoredState | None], set[str]]:
        """Write changed states. Return the users in conflict, and those that have failed."""
        if not changed:
            return {}, set()
        try:
            result = self._states.write(
                self._request.profile.name,
                changed,
                request=self._request.name,
                round_=round_,
                deadline=self._deadline,
            )
        except StoreUnavailable as error:
            users = {change.user for change in changed}
            self._give_up(users, error)
            return {}, users
        self._report.database += result.use
        self._report.written += len(result.stored)
        self._report.conflicts += sorted(result.conflicts)
        # A write gives up before the deadline, where its next pause would end behind it.
        self._fail(result.unfinished, Reason.TIMED_OUT)
        self._fail(result.failed.keys() - result.unfinished, Reason.USER_FAILED)
        return dict(result.conflicts), set(result.failed)

    def _record_finished(self, users: Sequence[str], folded: Folded, unfinished: set[str]) -> None:
        """Count new users and collect revisions, of the users that this round has finished."""
        finished: Bool = np.array([user not in unfinished for user in users], np.bool_)
        self._report.new_users += int(np.count_nonzero(folded.users.new & finished))
        if folded.revisions.user.size:
            positions = {user: number for number, user in enumerate(self._users, self._start)}
            in_shard = np.array([positions[user] for user in users], np.int32)
            chosen = finished[folded.revisions.user]
            revisions = Revisions._make(column[chosen] for column in folded.revisions)
            self._revisions.append(revisions._replace(user=in_shard[revisions.user]))

    def _load(self, users: Sequence[str]) -> dict[str, StoredState] | None:
        """Read the table's states. None: they could not be read, and the users have failed."""
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
        if self._is_late():
            self._fail(users, Reason.TIMED_OUT)
        else:
            self._error = error
            self._fail(users, Reason.SHARD_FAILED)

    def _fail(self, users: Iterable[str], reason: Reason) -> None:
        rows, _ = self._rows_of(users)
        fill_decisions(self._decisions, rows, failed_decisions(len(rows), reason))

    def _rows_of(self, users: Iterable[str]) -> tuple[NDArray[np.intp], I32]:
        """Rows of the users' readings, and each group member's position among the users, or -1."""
        positions = {user: number for number, user in enumerate(users)}
        position = np.array([positions.get(user, -1) for user in self._users], np.int32)
        return np.flatnonzero(position[self._readings.user] >= 0), position

    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _pause(self, round_: int) -> bool:
        """Let the other writers finish; False if there is no time for it."""
        left = self._deadline - time.monotonic()
        pause = random.uniform(0.0, min(_LONGEST_PAUSE, _SHORTEST_PAUSE * 2**round_))  # noqa: S311
        if pause >= left:
            return False
        time.sleep(pause)
        return True

    def _result(self, rounds: int) -> GroupResult:
        decisions, report = self._decisions, self._report
        failed = decisions.status == Status.FAILED
        accepted = decisions.status == Status.ACCEPTED
        failed_users = len(np.unique(self._readings.user[failed]))
        report.readings = count_decisions(decisions, [])
        report.failed_users = failed_users
        report.quality_sum = math.fsum(decisions.quality[accepted].tolist())
        report.quality_count = int(accepted.sum())
        report.ended = time.time()
        error = self._error if failed_users == len(self._users) else None
        return GroupResult(self._rows, decisions, self._revisions, report, rounds, error)


def fill_decisions(decisions: Decisions, rows: NDArray[np.intp], values: Decisions) -> None:
    """Set some rows of decisions."""
    columns: Iterable[tuple[NDArray[np.generic], NDArray[np.generic]]]
    columns = zip(decisions, values, strict=True)
    for column, part in columns:
        column[rows] = part
