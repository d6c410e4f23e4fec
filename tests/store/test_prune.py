"""Pruning: only states without a reading since a time are deleted."""

import pytest

from kalmap.store.ports import Change, DatabaseUse, DeleteResult
from kalmap_cli.operations.prune import Pruned, prune
from tests.support.store_batches import DAY, START
from tests.support.written_batches import new_bucket, run_batch, stored


@pytest.fixture(scope="module")
def objects():
    return new_bucket()


def test_states_with_a_newer_reading_and_damaged_ones_stay(objects, store):
    run_batch(objects, store, {"old": [1, 2], "new": [1, 9], "at": [5]}, batch="prune")
    store.write(
        "body-weight", [Change("bad", None, b"?", 1.0, 0.0, 0)], batch="b", attempt="a", round_=0
    )
    before = stored(store)
    limit = START + 5 * DAY
    assert prune(store, limit, "other", rehearse=False) == Pruned()
    assert prune(store, limit, rehearse=True) == Pruned(1, 2, 1)
    assert stored(store) == before
    assert prune(store, limit, rehearse=False) == Pruned(1, 2, 1)
    assert {user for user, _ in before} - {user for user, _ in stored(store)} == {"old"}
    assert prune(store, limit, rehearse=False) == Pruned(0, 2, 1)


def test_a_state_that_changes_while_it_is_looked_at_stays(objects, store):
    run_batch(objects, store, {"back": [1]}, batch="prune-race")
    delete = store.delete

    def change_and_delete(profile, states, **more):
        run_batch(objects, store, {"back": [9]}, batch="prune-race-2")
        return delete(profile, states, **more)

    store.delete = change_and_delete
    assert prune(store, START + 5 * DAY, rehearse=False) == Pruned(0, 1)
    assert {user for user, _ in stored(store)} == {"back"}


def test_a_state_that_cannot_be_deleted_is_told_and_not_called_kept(objects, store):
    run_batch(objects, store, {"stuck": [1], "new": [9]}, batch="prune-stuck")

    def fail(_, states):
        return DeleteResult(
            set(), {}, dict.fromkeys(states, "The table has refused it."), DatabaseUse()
        )

    store.delete = fail
    done = prune(store, START + 5 * DAY, rehearse=False)
    assert done == Pruned(0, 1, failed=("The table has refused it.",))
