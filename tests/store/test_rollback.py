"""Rolling back: the states from before a batch, to the byte, where nothing has touched them."""

from contextlib import suppress

import pytest

from kalmap.batch.folder import Folder
from kalmap.errors import StoreUnavailable
from kalmap.results.report import Report
from kalmap.store.profiles import Profiles
from kalmap_cli.errors import RunFailed
from kalmap_cli.operations.rollback import RolledBack, roll_back
from kalmap_cli.operations.written_states import attempts_of
from tests.support.dynamodb_faults import CUT, KILLED_AFTER, KILLED_BEFORE, Injector, Killed
from tests.support.written_batches import new_bucket, run_batch, stored

USERS = [f"u{number}" for number in range(30)]


@pytest.fixture(scope="module")
def objects():
    return new_bucket()


def numbers(users, *days):
    return {user: list(days) for user in users}


def take_back(objects, store, batch, *, rehearse=False):
    return roll_back(attempts_of(objects, batch), store, Profiles(objects), rehearse=rehearse)


def test_states_are_as_before_the_batch_to_the_byte_and_its_new_users_are_gone(objects, store):
    run_batch(objects, store, numbers(USERS[:20], 1, 2, 5), batch="good")
    before = stored(store)
    run_batch(objects, store, numbers(USERS, 7, 8), batch="bad")
    bad = stored(store)
    planned = take_back(objects, store, "bad", rehearse=True)
    assert stored(store) == bad
    done = take_back(objects, store, "bad")
    assert planned == done == RolledBack(restored=20, removed=10)
    assert stored(store) == before
    assert take_back(objects, store, "bad") == RolledBack(already=30)
    assert stored(store) == before


def test_what_something_has_touched_since_is_left_and_named(objects, store):
    run_batch(objects, store, numbers(["a", "b"], 1), batch="since-1")
    run_batch(objects, store, numbers(["a", "b", "c", "d", "e"], 2), batch="since-2")
    run_batch(objects, store, numbers(["a", "c"], 3), batch="since-3")
    store.delete("body-weight", {"b": None})
    touched = stored(store)
    done = take_back(objects, store, "since-2")
    assert (done.restored, done.removed, sorted(done.left)) == (0, 2, ["a", "b", "c"])
    kept = stored(store)
    assert {user for user, _ in kept} == {"a", "c"}
    assert all(kept[key] == touched[key] for key in kept)


def test_a_state_that_is_written_while_the_rollback_runs_is_left(objects, store):
    run_batch(objects, store, numbers(["a", "b"], 1), batch="race-1")
    run_batch(objects, store, numbers(["a", "b", "n"], 2), batch="race-2")
    load, raced = store.load, []

    def load_and_lose(profile, users, **more):
        loaded = load(profile, users, **more)
        if not raced:
            raced.append(users)
            run_batch(objects, store, numbers(["a", "n"], 3), batch="race-3")
        return loaded

    store.load = load_and_lose
    done = [take_back(objects, store, "race-2") for _ in range(2)]
    assert sorted(done[1].left) == ["a", "n"]
    assert sum(each.restored for each in done) == 1
    assert {user for user, _ in stored(store)} == {"a", "b", "n"}


def test_many_batches_are_rolled_back_the_newest_first(objects, store):
    """More than the table remembers writes of one state."""
    moments = []
    for day in range(1, 8):
        moments.append(stored(store))
        run_batch(objects, store, numbers(["a", f"new-{day}"], day), batch=f"day-{day}")
    for day in range(7, 0, -1):
        done = take_back(objects, store, f"day-{day}")
        assert (done.restored + done.removed, done.left) == (2, ())
        assert stored(store) == moments[day - 1]


@pytest.mark.parametrize("kind", [KILLED_BEFORE, KILLED_AFTER, CUT])
def test_killed_at_any_request_it_is_finished_by_the_same_command(client, objects, store, kind):
    batch = f"killed-{kind.replace(' ', '-')}"
    run_batch(objects, store, numbers(USERS[:20], 1, 2), batch=f"{batch}-0")
    before = stored(store)
    run_batch(objects, store, numbers(USERS, 3), batch=batch)
    for every in (7, 6, 5, 4, 3, 2):
        faults = Injector(client, 1, {kind: 1.0}, every=every)
        with faults, suppress(Killed, StoreUnavailable):
            take_back(objects, store, batch)
    done = take_back(objects, store, batch)
    assert not done.left
    assert stored(store) == before


def test_all_attempts_of_a_batch_are_rolled_back_together(objects, store):
    run_batch(objects, store, numbers(USERS[:10], 1), batch="before")
    before = stored(store)
    one = {"batch": "twice", "started": "2026-03-01T00:00:00Z"}
    two = {"batch": "twice", "attempt": "again", "started": "2026-03-01T08:00:00Z"}
    run_batch(objects, store, numbers(USERS, 2), only=1, **one)
    # The second attempt reads more of some users, such as those of a chunk that was lost.
    run_batch(objects, store, numbers(USERS, 2) | numbers(USERS[5:15], 2, 3), **two)
    done = take_back(objects, store, "twice")
    assert (done.restored, done.removed, done.left) == (10, 20, ())
    assert stored(store) == before


def test_a_user_whom_another_batch_has_changed_between_two_attempts_is_left(objects, store):
    run_batch(objects, store, numbers(["a"], 1), batch="between")
    run_batch(objects, store, numbers(["a"], 2), batch="other")
    again = {"attempt": "again", "started": "2026-03-01T08:00:00Z"}
    run_batch(objects, store, numbers(["a"], 1, 3), batch="between", **again)
    before = stored(store)
    assert take_back(objects, store, "between").left == ("a",)
    assert stored(store) == before


def test_a_user_who_took_two_rounds_gets_the_state_that_the_other_batch_wrote(objects, store):
    run_batch(objects, store, numbers(["a", "b"], 1), batch="round-0")
    expected = stored(store)["b", "body-weight"]

    def other():
        run_batch(objects, store, numbers(["a"], 2), batch="round-other")

    run_batch(objects, store, numbers(["a", "b"], 3), batch="round-1", meanwhile=other)
    [attempt] = attempts_of(objects, "round-1")
    assert [round_ for round_, _ in attempt.shards] == [1, 1, 0, 0]
    done = take_back(objects, store, "round-1")
    assert (done.restored, done.left) == (2, ())
    assert stored(store)["b", "body-weight"] == expected
    assert take_back(objects, store, "round-other").restored == 1
    assert stored(store)["a", "body-weight"] == expected


def test_the_same_bytes_that_another_batch_has_written_are_left(objects, store):
    run_batch(objects, store, numbers(["a"], 1), batch="unwritten", write=False)
    run_batch(objects, store, numbers(["a"], 1), batch="written")
    before = stored(store)
    assert take_back(objects, store, "unwritten").left == ("a",)
    assert stored(store) == before


def test_changes_that_are_no_longer_stored_are_counted(objects, store):
    run_batch(objects, store, numbers(USERS, 1), batch="expired")
    objects._client.delete_object(
        Bucket=objects.bucket, Key="batches/expired/first/round-0/states/000001.changed"
    )
    assert [attempt.lost for attempt in attempts_of(objects, "expired")] == [1]
    # What changed nothing, or failed, has left nothing that could be lost.
    folder = Folder(objects, "batches/expired/first")
    folder.save_report(Report(step="filter", number=7, changed=0))
    folder.save_report(Report(step="filter", number=8, changed=2, error="It ran out of memory."))
    assert [attempt.lost for attempt in attempts_of(objects, "expired")] == [1]
    objects._client.delete_object(Bucket=objects.bucket, Key="batches/expired/first/batch.json")
    with pytest.raises(RunFailed, match="no longer stored as a whole"):
        attempts_of(objects, "expired")
