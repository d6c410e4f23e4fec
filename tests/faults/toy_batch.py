"""A batch whose fold can be checked by eye, run through the real store as the pipeline does.

A state's body is the list of the readings it has absorbed. `tally` appends them, so that a
write that counted twice shows; `union` leaves out known ones, as kalmap's fold does.
"""

import json
from collections.abc import Callable, Mapping, Sequence

from kalmap.errors import StoreUnavailable
from kalmap.store import Change, StateStore, StoredState
from tests.faults.injector import Killed

Fold = Callable[[bytes | None, Sequence[int]], bytes]


def tally(body: bytes | None, readings: Sequence[int]) -> bytes:
    return json.dumps(sorted([*json.loads(body or b"[]"), *readings])).encode()


def union(body: bytes | None, readings: Sequence[int]) -> bytes:
    return json.dumps(sorted({*json.loads(body or b"[]"), *readings})).encode()


def change(user: str, old: StoredState | None, body: bytes) -> Change:
    """A change whose readable attributes are functions of the body, as they are in kalmap."""
    numbers = json.loads(body)
    return Change(user, old, body, sum(numbers) / 7, float(len(numbers)), max(numbers) * 10**6)


def until_done(task, tries=200):
    """Runs a Task as Step Functions does: again after a failure, and after a crash."""
    for _ in range(tries):
        try:
            return task()
        except (Killed, StoreUnavailable):
            continue
    raise AssertionError(f"No success in {tries} tries.")


def run_batch(
    store: StateStore,
    profile: str,
    readings: Mapping[str, Sequence[int]],
    fold_of: Callable[[str], Fold],
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
    users = list(readings)
    for round_ in range(rounds):
        # What a Task has read stays read, as the snapshot in S3 does, if a later one fails.
        states = {}

        def load(users=users):
            return store.load(profile, users, deadline=deadline())

        if mode != "overwrite":
            states = until_done(load).states
        changes = []
        for user in users:
            old = states.get(user)
            body = fold_of(user)(old and old.body, readings[user])
            if old is None or body != old.body:
                changes.append(change(user, old, body))

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
            outcomes = [*result.written, *result.conflicts, *result.failed]
            assert sorted(outcomes) == sorted(change.user for change in changes)
            if result.failed:
                raise StoreUnavailable(next(iter(result.failed.values())))
            return result

        result = until_done(write)
        users = list(result.conflicts)
        if not users:
            return round_ + 1
    raise AssertionError(f"Conflicts are left after {rounds} rounds.")
