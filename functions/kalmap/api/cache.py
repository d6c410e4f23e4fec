"""Caches of recent users' states: one in each container, and one that all containers share.

A cached state is never trusted. A state that is computed from it is written on condition that the
table still has that version. If nothing is written, the version is compared with the table's. A
stale entry therefore costs one more round, and is never wrong.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec

from kalmap.store.ports import StoredState


class Key(NamedTuple):
    """What a state is stored under."""

    profile: str
    user: str


@dataclass(slots=True)
class CacheUse:
    """Counts of what a cache did."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    """States removed because the cache was full."""
    expired: int = 0
    """States removed because they were not used."""
    errors: int = 0
    """Calls that a shared cache did not answer. They count as misses."""


class Cache(Protocol):
    """A cache of states. It may lose any of them at any time."""

    def get(self, keys: Sequence[Key]) -> dict[Key, StoredState]:
        """Return the states that are cached."""

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """Cache states, and replace earlier ones of the same keys."""

    def drop(self, keys: Iterable[Key]) -> None:
        """Remove states."""

    def clear(self) -> None:
        """Remove all states that are in this process's memory."""


class RecentStates:
    """The most recently used states, in this process. Safe to use from several threads.

    A state is dropped when another container has written it too. If it were cached again at once,
    each later write would be lost in the same way. So it is not cached again for some time.

    Args:
        size: Most states.
        seconds: Time without use after which a state is removed.
        shun: Seconds during which a dropped state is not cached again.
        clock: A monotonic clock, in seconds.
    """

    def __init__(
        self,
        size: int,
        seconds: float,
        shun: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.use = CacheUse()
        self._size = size
        self._seconds = seconds
        self._shun = shun
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._shunned: OrderedDict[Key, float] = OrderedDict()
        """The end of each dropped key's time, in the order of these times."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, keys: Sequence[Key]) -> dict[Key, StoredState]:
        """Return the states that are cached. Each stays for another `seconds`."""
        now = self._clock()
        states = {}
        with self._lock:
            self._expire(now)
            for key in keys:
                if entry := self._entries.get(key):
                    entry.used, entry.uses = now, entry.uses + 1
                    self._entries.move_to_end(key)
                    states[key] = entry.state
            self.use.hits += len(states)
            self.use.misses += len(keys) - len(states)
        return states

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """Cache states. If there are too many, the least recently used ones are removed."""
        now = self._clock()
        with self._lock:
            while self._shunned and next(iter(self._shunned.values())) <= now:
                self._shunned.popitem(last=False)
            for key, state in states.items():
                if key in self._shunned:
                    continue
                entry = self._entries.setdefault(key, _Entry(state, now))
                entry.state, entry.used = state, now
                self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
                self.use.evictions += 1

    def drop(self, keys: Iterable[Key]) -> None:
        """Remove states, and do not cache them again for some time."""
        until = self._clock() + self._shun
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)
                self._shunned[key] = until
                self._shunned.move_to_end(key)
            while len(self._shunned) > self._size:
                self._shunned.popitem(last=False)

    def clear(self) -> None:
        """Remove all states."""
        with self._lock:
            self._entries.clear()
            self._shunned.clear()

    def take_use(self) -> CacheUse:
        """Return the counts since the last call, and reset them."""
        with self._lock:
            use, self.use = self.use, CacheUse()
        return use

    def frequent(self, count: int) -> list[Key]:
        """Return the cached keys that were used most often."""
        with self._lock:
            ranked = sorted(self._entries, key=lambda key: -self._entries[key].uses)
        return ranked[:count]

    def _expire(self, now: float) -> None:
        # The entries are in the order of their use, so the first recent one ends the search.
        while self._entries:
            key = next(iter(self._entries))
            if now - self._entries[key].used < self._seconds:
                return
            del self._entries[key]
            self.use.expired += 1


class _Entry:
    __slots__ = ("state", "used", "uses")

    def __init__(self, state: StoredState, used: float) -> None:
        self.state = state
        self.used = used
        self.uses = 1


class SharedStates:
    """States in a Redis that all containers share. Every failure of Redis counts as a miss.

    Args:
        client: A `redis.Redis` that returns bytes.
        seconds: Time without a write after which Redis removes a state.
        group: States that are read or written at a time.
        failure: The error that the client raises when Redis does not answer.
    """

    def __init__(
        self, client: Any, seconds: float, group: int, failure: type[Exception] = OSError
    ) -> None:
        self.use = CacheUse()
        self._client = client
        self._milliseconds = max(1, round(seconds * 1000))
        self._group = group
        self._failure = failure

    def get(self, keys: Sequence[Key]) -> dict[Key, StoredState]:
        """Return the states that are cached."""
        states = {}
        for group in self._groups(keys):
            try:
                values = self._client.mget([_name(key) for key in group])
            except self._failure:
                self.use.errors += 1
                values = [None] * len(group)
            for key, data in zip(group, values, strict=True):
                if data is not None and (state := _decode(data)):
                    states[key] = state
        self.use.hits += len(states)
        self.use.misses += len(keys) - len(states)
        return states

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """Cache states, and replace earlier ones of the same keys."""
        for group in self._groups(list(states)):
            pipeline = self._client.pipeline(transaction=False)
            for key in group:
                pipeline.set(_name(key), _encoder.encode(states[key]), px=self._milliseconds)
            self._execute(pipeline)

    def drop(self, keys: Iterable[Key]) -> None:
        """Remove states."""
        for group in self._groups(list(keys)):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.delete(*(_name(key) for key in group))
            self._execute(pipeline)

    def clear(self) -> None:
        """Do nothing, since these states take no memory in this process."""

    def _execute(self, pipeline: Any) -> None:
        try:
            pipeline.execute()
        except self._failure:
            self.use.errors += 1

    def _groups(self, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
        for start in range(0, len(keys), self._group):
            yield keys[start : start + self._group]


class Layers:
    """A container's own cache in front of a shared one."""

    def __init__(self, near: RecentStates, far: SharedStates) -> None:
        self._near = near
        self._far = far

    def get(self, keys: Sequence[Key]) -> dict[Key, StoredState]:
        """Return states from the near cache, and missing ones from the far cache."""
        states = self._near.get(keys)
        missing = [key for key in keys if key not in states]
        if missing and (fetched := self._far.get(missing)):
            self._near.put(fetched)
            states |= fetched
        return states

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """Put states into both caches."""
        self._near.put(states)
        self._far.put(states)

    def drop(self, keys: Iterable[Key]) -> None:
        """Drop states from both caches."""
        dropped = list(keys)
        self._near.drop(dropped)
        self._far.drop(dropped)

    def clear(self) -> None:
        """Clear the near cache."""
        self._near.clear()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StoredState)


def _name(key: Key) -> str:
    # A profile's name has no colon, so no two keys have the same name.
    return f"kalmap:{key.profile}:{key.user}"


def _decode(data: bytes) -> StoredState | None:
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None
