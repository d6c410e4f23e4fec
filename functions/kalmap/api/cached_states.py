"""Access to the states for callers that wait for an answer, by a cache and a circuit breaker."""

from collections.abc import Iterable, Sequence

from kalmap.api.cache import Cache, Key
from kalmap.errors import StoreUnavailable
from kalmap.store.breaker import CircuitBreaker
from kalmap.store.ports import Change, Loaded, StateStore, StoredState, UserState, WriteResult


class CachedStates:
    """The stored states, reached through a cache and a circuit breaker.

    Args:
        store: The table of states.
        breaker: Stops requests to the table while it is in trouble.
        cache: Caches states between requests. None: no cache.
    """

    def __init__(
        self, store: StateStore, breaker: CircuitBreaker, cache: Cache | None = None
    ) -> None:
        self._store = store
        self._breaker = breaker
        self._cache = cache

    def recall(self, profile: str, users: Iterable[str]) -> dict[str, StoredState]:
        """Return users' states from the cache. Each may be older than the table's."""
        if self._cache is None:
            return {}
        states = self._cache.get([Key(profile, user) for user in users])
        return {key.user: state for key, state in states.items()}

    def load(self, profile: str, users: Sequence[str], deadline: float | None) -> Loaded:
        """Read users' states from the table, each as of its last completed write.

        Raises:
            StoreUnavailable: A state could not be read, or the breaker is open.
        """
        loaded = self._breaker.run(lambda: self._store.load(profile, users, deadline=deadline))
        self._put(profile, loaded.states)
        return loaded

    def get(self, profile: str, user: str, deadline: float | None) -> UserState | None:
        """Read a user's state with its readable fields from the table; None if there is none.

        Raises:
            StoreUnavailable: The state could not be read, or the breaker is open.
        """
        return self._breaker.run(lambda: self._store.get(profile, user, deadline=deadline)).state

    def write(
        self,
        profile: str,
        changes: Sequence[Change],
        *,
        request: str,
        round_: int,
        deadline: float | None,
    ) -> WriteResult:
        """Write new states, each on condition that its old one is still there.

        Afterwards the cache has the states that were stored. Of all other users in the call it has
        none, since the table's state is unknown.

        Args:
            profile: The profile's name.
            changes: At most one per user.
            request: Names the request. The same request and round never write twice.
            round_: The conflict round, from 0.
            deadline: When to stop trying, on the monotonic clock.

        Raises:
            CircuitOpen: The breaker is open; nothing was written.
        """
        try:
            result = self._breaker.run(
                lambda: self._store.write(
                    profile,
                    changes,
                    batch=request,
                    attempt=request,
                    round_=round_,
                    deadline=deadline,
                )
            )
        except StoreUnavailable:
            self._drop(profile, (change.user for change in changes))
            raise
        self._drop(profile, (c.user for c in changes if c.user not in result.stored))
        self._put(profile, result.stored)
        return result

    def _put(self, profile: str, states: dict[str, StoredState]) -> None:
        if self._cache is not None and states:
            self._cache.put({Key(profile, user): state for user, state in states.items()})

    def _drop(self, profile: str, users: Iterable[str]) -> None:
        if self._cache is not None:
            self._cache.drop([Key(profile, user) for user in users])
