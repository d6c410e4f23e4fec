"""The console's list of users answers with what it has while it reads them again."""

import threading
import time
from types import SimpleNamespace

import pytest

import kalmap
from kalmap.store.ports import StoredState, UserState
from kalmap_cli.console.user_list import UserList

READINGS = {
    "user_id": ["u-1", "u-2"], "timestamp": 2 * ["2026-03-01T08:00:00Z"], "value": [80.0, 70.0],
}  # fmt: skip


class Table:
    """States that are there when the table is let go."""

    def __init__(self, users: list[str]) -> None:
        bodies = kalmap.fold(READINGS).states
        self.users = users
        self.batches = []
        self.go = threading.Event()
        self.fault: Exception | None = None
        self._bodies = bodies

    def page(self, limit):
        return self.batches, None

    def scan(self):
        assert self.go.wait(20)
        if self.fault:
            raise self.fault
        for user in self.users:
            stored = StoredState(1, self._bodies[user], (1,))
            yield UserState(user, "body-weight", stored, None, None, None)


@pytest.fixture
def table():
    return Table(["u-1"])


@pytest.fixture
def listed(table):
    yield UserList(SimpleNamespace(states=table, objects=None, batches=table))
    table.go.set()


def names(snapshot) -> list[str]:
    return [user for group in snapshot.groups for user in group.users]


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline


def test_there_is_no_list_until_it_has_been_read_once(table, listed):
    assert listed.get(0.01) is None
    table.go.set()
    assert names(listed.get(20)) == ["u-1"]


def test_the_earlier_list_is_shown_while_it_is_read_again(table, listed):
    table.go.set()
    earlier = listed.get(20)
    table.go.clear()
    table.users = ["u-1", "u-2"]
    # Once it is old, each asks for it to be read again, and none waits for that.
    assert {id(listed.get(0.01)) for _ in range(50)} == {id(earlier)}
    table.go.set()
    until(lambda: names(listed.get(20)) == ["u-1", "u-2"])


def test_a_batch_that_has_ended_makes_the_list_old(table, listed, monkeypatch):
    monkeypatch.setattr("kalmap_cli.console.user_list._SHARE_OF_TIME", 1e-9)
    table.batches = [SimpleNamespace(batch_id="3f9a", finished_at=None)]
    table.go.set()
    listed.get(20)
    table.users = ["u-2"]
    assert names(listed.get(20)) == ["u-1"]
    table.batches = [SimpleNamespace(batch_id="3f9a", finished_at="2026-03-01T08:00:00Z")]
    assert names(listed.get(20)) == ["u-2"]


def test_that_nobody_was_there_is_not_shown_again(table, listed):
    table.users = []
    table.go.set()
    assert listed.get(20).groups == []
    table.go.clear()
    until(lambda: listed.get(0.01) is None)


def test_a_list_that_could_not_be_read_is_read_again(table, listed):
    table.fault = OSError("The table is gone.")
    table.go.set()
    with pytest.raises(OSError, match="gone"):
        listed.get(20)
    table.fault = None
    assert names(listed.get(20)) == ["u-1"]
