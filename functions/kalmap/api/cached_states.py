"""Access to the states for callers that wait for an answer: cache, circuit breaker, table."""

from collections.abc import Iterable, Sequence

from kalmap.api.cache import Cache, Key
from kalmap.errors import StoreUnavailable
from kalmap.store.breaker import CircuitBreaker
from kalmap.store.ports import Change, Loaded, StateStore, StoredState, UserState, Written


class CachedStates:
    """The stored states, by way of a cache and a circuit breaker.

    Args:
        store: The table.
        breaker: Stops asking the table while it is in trouble.
        cache: Where states are kept between requests; None for nowhere.
    """

    def __init__(
        self, store: StateStore, breaker: CircuitBreaker, cache: Cache | None = None
    ) -> None:
        self._store = store
        self._breaker = breaker
        self._cache = cache

    def recall(self, profile: str, users: Iterable[str]) -> dict[str, StoredState]:
        """What the cache has of users' states; each may be older than the table's."""
        if self._cache is None:
            return {}
        found = self._cache.get([Key(profile, user) for user in users])
        return {key.user: state for key, state in found.items()}

    def load(self, profile: str, users: Sequence[str], deadline: float | None) -> Loaded:
        """The table's states of users, each as of its last completed write.

        Raises:
            StoreUnavailable: They could not be read, or the breaker is open.
        """
        loaded = self._breaker.run(lambda: self._store.load(profile, users, deadline=deadline))
        self._keep(profile, loaded.states)
        return loaded

    def get(self, profile: str, user: str, deadline: float | None) -> UserState | None:
        """Read a user's state with its readable fields, as the table has it; None if there is none.

        Raises:
            StoreUnavailable: It could not be read, or the breaker is open.
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
    ) -> Written:
        """Write new states, each on condition that its old one is still there.

        The cache follows: it has what was written, and nothing of users for whom it is not
        sure what the table holds.

        Args:
            profile: The profile's name.
            changes: At most one per user.
            request: Names the request; the same one never writes twice.
            round_: The conflict round, from 0.
            deadline: On the monotonic clock.

        Raises:
            CircuitOpen: The breaker is open; nothing was written.
        """
        try:
            written = self._breaker.run(
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
        self._drop(profile, (c.user for c in changes if c.user not in written.stored))
        self._keep(profile, written.stored)
        return written

    def _keep(self, profile: str, states: dict[str, StoredState]) -> None:
        if self._cache is not None and states:
            self._cache.put({Key(profile, user): state for user, state in states.items()})

    def _drop(self, profile: str, users: Iterable[str]) -> None:
        if self._cache is not None:
            self._cache.drop([Key(profile, user) for user in users])
