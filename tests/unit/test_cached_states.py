"""Cached states: what the cache has after a write, and after one whose outcome is unknown."""

import pytest

from kalmap.api.cache import RecentStates
from kalmap.api.cached_states import CachedStates
from kalmap.errors import StoreUnavailable
from kalmap.store.breaker import CircuitBreaker
from kalmap.store.ports import Change, DatabaseUse, Loaded, StoredState, WriteResult

OLD = StoredState(1, b"old", (1,))
NEW = StoredState(2, b"new", (2, 1))
USERS = ("u-1", "u-2", "u-3")


class Store:
    """A store that has every user's old state, and whose next write has a set outcome."""

    def __init__(self):
        self.outcome = None

    def load(self, profile, users, *, deadline):
        return Loaded(dict.fromkeys(users, OLD), DatabaseUse(requests=1))

    def write(self, profile, changes, **options):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def states(store):
    states = CachedStates(store, CircuitBreaker(), RecentStates(10, 60.0))
    states.load("p", USERS, None)
    return states


def write(states):
    changes = [Change(user, OLD, b"new", 80.0, 0.0, 0) for user in USERS]
    return states.write("p", changes, request="r", round_=0, deadline=None)


def test_after_a_write_the_cache_has_what_was_stored_and_nothing_of_the_other_users(store, states):
    store.outcome = WriteResult(
        {"u-1": NEW}, {"u-2": OLD}, {"u-3": "It failed."}, DatabaseUse(requests=1)
    )
    assert write(states) is store.outcome
    assert states.recall("p", USERS) == {"u-1": NEW}


def test_after_a_write_whose_outcome_is_unknown_the_cache_has_nothing_of_its_users(store, states):
    store.outcome = StoreUnavailable("The table did not answer.")
    with pytest.raises(StoreUnavailable):
        write(states)
    assert states.recall("p", USERS) == {}


def test_a_state_that_was_dropped_is_not_cached_again_at_once(store, states):
    store.outcome = StoreUnavailable("The table did not answer.")
    with pytest.raises(StoreUnavailable):
        write(states)
    states.load("p", USERS, None)
    assert states.recall("p", USERS) == {}


def test_without_a_cache_nothing_is_recalled_and_every_write_is_made(store):
    states = CachedStates(store, CircuitBreaker())
    states.load("p", USERS, None)
    store.outcome = WriteResult(dict.fromkeys(USERS, NEW), {}, {}, DatabaseUse(requests=1))
    assert write(states).stored == dict.fromkeys(USERS, NEW)
    assert states.recall("p", USERS) == {}
