"""Recent users' states, kept between requests: in the container, and in a cache that all share.

Neither is trusted with correctness. Whoever computes from a kept state either writes on
condition that the table still holds that version, or asks the table whether it does. A stale
entry costs one more round.
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
    """What a cache did."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    """States forgotten for lack of room."""
    expired: int = 0
    """States forgotten for lack of use."""
    errors: int = 0
    """Times that a shared cache did not answer; it is done without then."""


class Cache(Protocol):
    """Keeps states; may forget any of them at any time."""

    def get(self, keys: Sequence[Key]) -> dict[Key, StoredState]:
        """The states it has."""

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """Keep states, in place of those it had."""

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget states."""

    def clear(self) -> None:
        """Forget what takes memory in this process."""


class RecentStates:
    """The states used last, in this process. Safe to use from several threads.

    A state that was dropped is one that others write too, so that keeping it would cost a lost
    write each time; for a while it is not kept again.

    Args:
        size: States kept at most.
        seconds: Time without use after which a state is forgotten.
        shun: Seconds for which a dropped state is not kept.
        clock: Seconds that only go forward.
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
        """Until when; in the order of time."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, keys: Sequence[Key]) -> dict[Key, StoredState]:
        """The states it has; each lives on for another `seconds`."""
        now = self._clock()
        found = {}
        with self._lock:
            self._expire(now)
            for key in keys:
                if entry := self._entries.get(key):
                    entry.used, entry.uses = now, entry.uses + 1
                    self._entries.move_to_end(key)
                    found[key] = entry.state
            self.use.hits += len(found)
            self.use.misses += len(keys) - len(found)
        return found

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """Keep states; those unused for longest make room for them."""
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
        """Forget states, and shun them."""
        until = self._clock() + self._shun
        with self._lock:
            for key in keys:
                self._entries.pop(key, None)
                self._shunned[key] = until
                self._shunned.move_to_end(key)
            while len(self._shunned) > self._size:
                self._shunned.popitem(last=False)

    def clear(self) -> None:
        """Forget all states."""
        with self._lock:
            self._entries.clear()
            self._shunned.clear()

    def take_use(self) -> CacheUse:
        """What it did since this was last asked."""
        with self._lock:
            taken, self.use = self.use, CacheUse()
        return taken

    def frequent(self, most: int) -> list[Key]:
        """The keys asked for most often, among those kept."""
        with self._lock:
            ranked = sorted(self._entries, key=lambda key: -self._entries[key].uses)
        return ranked[:most]

    def _expire(self, now: float) -> None:
        # In order of use, so that the first one still wanted ends the search.
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
    """States in a Redis that all containers share. Whatever goes wrong in it is a miss.

    Args:
        client: A `redis.Redis` that gives bytes.
        seconds: Time without a write after which Redis forgets a state.
        group: States asked for, or given, at a time.
        failure: What the client raises when Redis does not answer.
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
        """The states it has."""
        found = {}
        for group in self._groups(keys):
            try:
                answers = self._client.mget([_name(key) for key in group])
            except self._failure:
                self.use.errors += 1
                answers = [None] * len(group)
            for key, data in zip(group, answers, strict=True):
                if data is not None and (state := _decoded(data)):
                    found[key] = state
        self.use.hits += len(found)
        self.use.misses += len(keys) - len(found)
        return found

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """Keep states."""
        for group in self._groups(list(states)):
            pipeline = self._client.pipeline(transaction=False)
            for key in group:
                pipeline.set(_name(key), _encoder.encode(states[key]), px=self._milliseconds)
            self._execute(pipeline)

    def drop(self, keys: Iterable[Key]) -> None:
        """Forget states."""
        for group in self._groups(list(keys)):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.delete(*(_name(key) for key in group))
            self._execute(pipeline)

    def clear(self) -> None:
        """Nothing: what is kept elsewhere takes no memory here."""

    def _execute(self, pipeline: Any) -> None:
        try:
            pipeline.execute()
        except self._failure:
            self.use.errors += 1

    def _groups(self, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
        for start in range(0, len(keys), self._group):
            yield keys[start : start + self._group]


class Layers:
    """A container's own cache above a shared one."""

    def __init__(self, near: RecentStates, far: SharedStates) -> None:
        self._near = near
        self._far = far

    def get(self, keys: Sequence[Key]) -> dict[Key, StoredState]:
        """From the near one, and what that lacks from the far one."""
        found = self._near.get(keys)
        missing = [key for key in keys if key not in found]
        if missing and (fetched := self._far.get(missing)):
            self._near.put(fetched)
            found |= fetched
        return found

    def put(self, states: Mapping[Key, StoredState]) -> None:
        """In both."""
        self._near.put(states)
        self._far.put(states)

    def drop(self, keys: Iterable[Key]) -> None:
        """From both."""
        gone = list(keys)
        self._near.drop(gone)
        self._far.drop(gone)

    def clear(self) -> None:
        """The near one."""
        self._near.clear()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StoredState)


def _name(key: Key) -> str:
    # A profile's name has no colon in it, so that no two keys share a name.
    return f"kalmap:{key.profile}:{key.user}"


def _decoded(data: bytes) -> StoredState | None:
    try:
        return _decoder.decode(data)
    except msgspec.MsgspecError:
        return None
