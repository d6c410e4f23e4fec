"""Batches over the same users, started at the same moment, without any fault."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kalmap.profile import MAX_WINDOW_READINGS, builtin_profile
from kalmap.store.dynamodb.item import version_token
from kalmap.store.dynamodb.states import DynamoDBStateStore
from tests.support.dynamodb import new_client, new_table
from tests.support.store_batches import kalmap_fold, run_batch

USERS = [f"u{number}" for number in range(100)]
FOLD = kalmap_fold(builtin_profile("body-weight"))


class RecordingStore(DynamoDBStateStore):
    """Keeps, for each write made, which version it replaced and by which token.

    Its first load ends only when all others' have, so that the batches surely meet.
    """

    def __init__(self, client, table, together):
        super().__init__(client, table, parallelism=2)
        self.replaced = {}
        self._together = together

    def load(self, *arguments, **options):
        loaded = super().load(*arguments, **options)
        if self._together:
            self._together.wait()
            self._together = None
        return loaded

    def write(self, profile, changes, *, batch, attempt, round_, **options):
        result = super().write(
            profile, changes, batch=batch, attempt=attempt, round_=round_, **options
        )
        for change in changes:
            if change.user in result.stored:
                old = change.old.version if change.old else 0
                token = version_token(batch, attempt, round_, change.user, change.old)
                self.replaced[change.user, old] = token
        return result


def dealt(writers, readings_of_each):
    """Batches in which every reading is late for some other batch."""
    return [
        {user: [1 + writer + writers * n for n in range(readings_of_each)] for user in USERS}
        for writer in range(writers)
    ]


def run_at_once(batches, clients, table):
    """Runs each batch in a thread of its own; gives their stores."""
    together = threading.Barrier(len(batches))
    stores = [RecordingStore(client, table, together) for client in clients]

    def run(writer):
        return run_batch(stores[writer], "crowd", batches[writer], FOLD, batch=f"batch-{writer}")

    with ThreadPoolExecutor(len(batches)) as pool:
        rounds = list(pool.map(run, range(len(batches))))
    assert max(rounds) > 1
    return stores


def final_states(store):
    final = {"crowd": {}, "fault_free": {}}
    for item in store.scan():
        final[item.profile][item.user] = (item.state.body, item.level, item.slope, item.as_of)
    assert len(final["fault_free"]) == len(USERS)
    return final


@pytest.fixture(params=[2, 8])
def writers(request):
    return request.param


@pytest.fixture
def clients(writers):
    return [new_client() for _ in range(writers)]


def test_concurrent_writers_end_with_the_states_of_one_fault_free_batch(writers, clients):
    table = new_table(clients[0])
    batches = dealt(writers, MAX_WINDOW_READINGS // writers)
    run_at_once(batches, clients, table)
    fault_free = DynamoDBStateStore(clients[0], table)
    every = {user: [n for batch in batches for n in batch[user]] for user in USERS}
    run_batch(fault_free, "fault_free", every, FOLD, batch="fault_free")
    final = final_states(fault_free)
    assert final["crowd"] == final["fault_free"]


def test_with_more_readings_than_a_window_the_states_equal_those_of_consecutive_batches(
    writers, clients
):
    table = new_table(clients[0])
    batches = dealt(writers, 2 * MAX_WINDOW_READINGS // writers)
    stores = run_at_once(batches, clients, table)

    # Each user's chain of versions shows the order, which may differ between users.
    orders = {}
    for user in USERS:
        version, order = 0, []
        while True:
            winner = [w for w, store in enumerate(stores) if (user, version) in store.replaced]
            if not winner:
                break
            assert len(winner) == 1, "Two writes replaced the same version."
            version = stores[winner[0]].replaced[user, version]
            order += winner
        orders[user] = order
    made = sum(len(store.replaced) for store in stores)
    assert sum(map(len, orders.values())) == made, "A write is in no chain: it was lost."

    fault_free = DynamoDBStateStore(clients[0], table)
    for number in range(writers):
        readings = {
            user: batches[order[number]][user]
            for user, order in orders.items()
            if number < len(order)
        }
        if readings:
            run_batch(fault_free, "fault_free", readings, FOLD, batch=f"fault_free-{number}")
    final = final_states(fault_free)
    assert final["crowd"] == final["fault_free"]
