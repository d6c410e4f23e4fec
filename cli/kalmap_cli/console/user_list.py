"""The users of all stored states, read in a thread and kept, since reading many takes seconds."""

import contextlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from kalmap.store.ports import UserState
from kalmap.store.profiles import Profiles
from kalmap_cli.deployment import Deployment
from kalmap_cli.reporting.stored_users import ORDERS, Group, groups_of

#: The list is read again when it is asked for and a batch has ended since, and otherwise at most
#: this share of the time.
_SHARE_OF_TIME = 0.2
#: After so many states, other requests get their turn. The local cloud answers one at a time.
_AT_ONCE = 2_500
_PAUSE_SECONDS = 0.15
#: Batches whose end makes the list old.
_NEWEST = 5

Batches = list[tuple[str, str | None]]


class Snapshot(NamedTuple):
    """The users at one moment."""

    groups: list[Group]
    orders: list[dict[str, list[int]]]
    """Of each group, the positions of its users by each of `ORDERS`."""
    notes: list[str]
    """Sentences about states that are left out."""
    read_at: datetime
    seconds: float
    """How long it took to read."""
    batches: Batches
    """The newest batches before it was read, and when each ended."""


class UserList:
    """Reads the users when they are asked for, and answers at once with those it has.

    Args:
        deployment: Where the states are.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._latest: Snapshot | None = None
        self._reading: Future[Snapshot] | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console-users")

    def get(self, seconds: float) -> Snapshot | None:
        """The users as they were at most some time ago; None if they must be read first.

        Args:
            seconds: How long to wait for them.
        """
        with self._lock:
            if self._reading is None or (self._reading.done() and self._is_old(self._reading)):
                self._reading = self._thread.submit(self._read)
            reading = self._reading
        with contextlib.suppress(TimeoutError):
            return reading.result(seconds)
        latest = self._latest
        # That there was nobody some time ago helps nobody.
        return latest if latest and latest.groups else None

    def read_ahead(self) -> None:
        """Read the users for the first page that asks for them."""
        self.get(0.0)

    def _is_old(self, reading: Future[Snapshot]) -> bool:
        if reading.exception():
            return True
        snapshot = reading.result()
        age = (datetime.now(UTC) - snapshot.read_at).total_seconds()
        return age > snapshot.seconds / _SHARE_OF_TIME or snapshot.batches != self._batches()

    def _batches(self) -> Batches:
        newest, _ = self._deployment.batches.page(_NEWEST)
        return [(batch.batch_id, batch.finished_at) for batch in newest]

    def _read(self) -> Snapshot:
        began = time.monotonic()
        batches = self._batches()
        states: list[UserState] = []
        scanned = self._deployment.states.scan()
        while some := list(islice(scanned, _AT_ONCE)):
            states += some
            if len(some) == _AT_ONCE:
                time.sleep(_PAUSE_SECONDS)
        groups, notes = groups_of(states, Profiles(self._deployment.objects))
        orders = [{by: group.order(by) for by in ORDERS} for group in groups]
        seconds = time.monotonic() - began
        self._latest = Snapshot(groups, orders, notes, datetime.now(UTC), seconds, batches)
        return self._latest
