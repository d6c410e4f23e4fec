"""A batch run through the real store as the pipeline does: load, fold, write, in rounds.

Beside kalmap's own fold there are two simple ones, whose state is a list of readings. `tally`
appends all readings, so that a write that counted twice is visible. `union` ignores known ones,
like kalmap's fold.
"""

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kalmap.errors import StoreUnavailable
from kalmap.filter.fold import fold_users
from kalmap.profile import Profile
from kalmap.readings import Readings
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import Change, StoredState
from tests.support.dynamodb_faults import Killed

States = Mapping[str, StoredState]
#: Numbers by user; each number is one reading, different from all others of its user.
Batch = Mapping[str, Sequence[int]]
#: The changes that a batch makes to stored states.
Fold = Callable[[States, Batch], list[Change]]

DAY = 86_400_000_000
START = 1_772_323_200_000_000


def tally(states: States, batch: Batch) -> list[Change]:
    return _listed(states, batch, lambda known, new: [*known, *new])


def union(states: States, batch: Batch) -> list[Change]:
    return _listed(states, batch, lambda known, new: {*known, *new})


def _listed(states, batch, combine):
    changes = []
    for user, new in batch.items():
        old = states.get(user)
        numbers = sorted(combine(json.loads(old.body) if old else [], new))
        body = json.dumps(numbers).encode()
        if old is None or body != old.body:
            # Readable attributes that are functions of the state, as they are in kalmap.
            level, slope, as_of = sum(numbers) / 7, float(len(numbers)), max(numbers) * DAY
            changes.append(Change(user, old, body, level, slope, as_of))
    return changes


def kalmap_fold(profile: Profile) -> Fold:
    """kalmap's fold of one weighing a day, with some outliers."""

    def fold(states: States, batch: Batch) -> list[Change]:
        users = list(batch)
        pairs = [
            (position, number) for position, user in enumerate(users) for number in batch[user]
        ]
        user, number = np.array(pairs, np.int64).reshape(-1, 2).T
        readings = Readings(
            user=user.astype(np.int32),
            time=START + number * DAY,
            value=80.0 + 0.3 * np.sin(number) + 9.0 * (number % 11 == 5),
            source=np.zeros(number.size, np.uint8),
            tag=np.ones(number.size, np.uint8),
            hash=number.astype(np.uint64),
            index=np.arange(number.size),
        )
        bodies = [states[name].body if name in states else None for name in users]
        folded = fold_users(profile, bodies, readings, now=START + 1000 * DAY)
        assert not folded.users.failure.any()
        return [
            Change(
                users[position],
                states.get(users[position]),
                folded.bodies[position],
                folded.users.level[position],
                folded.users.slope[position],
                folded.users.as_of[position],
            )
            for position in np.flatnonzero(folded.users.changed)
        ]

    return fold


def until_done(task, tries=200):
    """Runs a Task as Step Functions does: again after a failure, and after a crash."""
    for _ in range(tries):
        try:
            return task()
        except (Killed, StoreUnavailable):
            continue
    raise AssertionError(f"No success in {tries} tries.")


def run_batch(
    store: DynamoDBStateStore,
    profile: str,
    readings: Batch,
    fold: Fold,
    *,
    batch: str,
    mode: str = "conditional",
    rounds: int = 100,
    deadline: Callable[[], float | None] = lambda: None,
) -> int:
    """Loads, folds and writes, round after round, until no user is in conflict.

    Returns:
        The number of rounds.
    """
    for round_ in range(rounds):

        def load(users=tuple(readings)):
            return store.load(profile, users, deadline=deadline())

        # What a Task has read stays read, as the snapshot in S3 does, if a later one fails.
        states = {} if mode == "overwrite" else until_done(load).states
        changes = fold(states, readings)

        def write(changes=changes, round_=round_):
            result = store.write(
                profile,
                changes,
                batch=batch,
                attempt="attempt-1",
                round_=round_,
                mode=mode,
                deadline=deadline(),
            )
            outcomes = [*result.stored, *result.conflicts, *result.failed]
            assert sorted(outcomes) == sorted(change.user for change in changes)
            if result.failed:
                raise StoreUnavailable(next(iter(result.failed.values())))
            return result

        conflicts = until_done(write).conflicts
        readings = {user: readings[user] for user in conflicts}
        if not readings:
            return round_ + 1
    raise AssertionError(f"Conflicts are left after {rounds} rounds.")
