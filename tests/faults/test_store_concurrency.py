"""Batches over the same users, started at the same moment, without any fault."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kalmap.profile import MAX_WINDOW_READINGS, builtin_profile
from kalmap.store import StateStore
from tests.faults.batch_run import kalmap_fold, run_batch
from tests.local_dynamodb import new_client, new_table

USERS = [f"u{place}" for place in range(200)]


@pytest.mark.parametrize("writers", [2, 8])
def test_batches_at_the_same_moment_end_as_one_quiet_batch_of_all_their_readings(writers):
    fold = kalmap_fold(builtin_profile("body-weight"))
    clients = [new_client() for _ in range(writers)]
    table = new_table(clients[0])
    each = MAX_WINDOW_READINGS // writers
    # Dealt out, so that every batch brings readings that are late for the others.
    batches = [
        {user: [1 + writer + writers * n for n in range(each)] for user in USERS}
        for writer in range(writers)
    ]
    together = threading.Barrier(writers)

    def run(writer):
        store = StateStore(clients[writer], table, parallelism=2)
        together.wait()
        return run_batch(store, "crowd", batches[writer], fold, batch=f"batch-{writer}")

    with ThreadPoolExecutor(writers) as pool:
        rounds = list(pool.map(run, range(writers)))
    assert max(rounds) > 1, "No batch met another: the test has shown nothing."

    store = StateStore(clients[0], table)
    every = {user: [n for batch in batches for n in batch[user]] for user in USERS}
    run_batch(store, "quiet", every, fold, batch="quiet")
    final = {"crowd": {}, "quiet": {}}
    for item in store.scan():
        final[item.profile][item.user] = (item.state.body, item.level, item.slope, item.as_of)
    assert len(final["quiet"]) == len(USERS)
    assert final["crowd"] == final["quiet"]
