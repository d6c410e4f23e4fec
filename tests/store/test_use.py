"""The costs that operations report: the table's own figures, if it gives any."""

import pytest

from kalmap.profile import builtin_profile
from kalmap.store.ports import Change, DatabaseUse
from tests.support.dynamodb_faults import PARTIAL, THROTTLED, Injector
from tests.support.store_batches import kalmap_fold


def changes(count, old=None):
    return [Change(f"u{number}", old, bytes(700), 1.0, 0.0, 0) for number in range(count)]


def write(store, group, mode="conditional", batch="b"):
    return store.write("p", group, batch=batch, attempt="a", round_=0, mode=mode).use


def test_the_costs_of_two_operations_can_be_added():
    total = sum(
        (DatabaseUse(1, 2.5, 3.0, 4, 5), DatabaseUse(10, 20.0, 30.0, 40, 50)), DatabaseUse()
    )
    assert total == DatabaseUse(11, 22.5, 33.0, 44, 55)


@pytest.mark.parametrize(
    ("mode", "requests", "write_units"),
    [("conditional", 5, 120), ("transactional", 2, 240), ("overwrite", 5, 120)],
)
def test_each_write_mode_costs_only_its_requests_and_write_units(
    store, mode, requests, write_units
):
    use = write(store, changes(120), mode)
    assert use == DatabaseUse(requests=requests, write_units=write_units)


def test_a_write_that_loses_a_conflict_costs_its_write_unit(store):
    write(store, changes(10))
    old = store.load("p", ["u0"]).states["u0"]
    write(store, changes(1, old), batch="winner")
    assert write(store, changes(1, old), batch="loser").write_units == 1


def test_a_cancelled_transaction_is_counted_with_units_that_its_response_does_not_report(store):
    write(store, changes(1), batch="winner")
    assert write(store, changes(4), "transactional", "loser").write_units == 2 * 4 + 2 * 3


@pytest.mark.parametrize("kind", [THROTTLED, PARTIAL])
@pytest.mark.parametrize("mode", ["conditional", "overwrite"])
def test_a_throttled_request_costs_no_unit_until_it_succeeds(client, store, mode, kind):
    with Injector(client, 2, {kind: 1.0}, budget=3):
        use = write(store, changes(20), mode)
    assert use.write_units == 20
    assert use.retries == 3
    assert use.requests == 4


def test_a_hundred_new_users_take_five_requests_and_the_same_batch_again_writes_nothing(store):
    fold = kalmap_fold(builtin_profile("body-weight"))
    readings = {f"u{number}": [1, 2, 3] for number in range(100)}

    def run():
        loaded = store.load("p", list(readings))
        return loaded.use + write(store, fold(loaded.states, readings))

    assert run() == DatabaseUse(requests=5, read_units=100, write_units=100)
    assert run() == DatabaseUse(requests=1, read_units=100, write_units=0)
