"""Executions as the console's pages see them. One that has ended stays as it is, and is kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from kalmap_cli.console.history import Step, steps_of
from kalmap_cli.local.clients import Clients
from kalmap_cli.reporting.execution_view import ExecutionView, view_execution

#: Executions that are kept.
_MOST = 64
T = TypeVar("T")


class SeenExecutions:
    """Looks at executions, at each ended one once.

    Args:
        clients: Of the cloud that runs them.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._kept: OrderedDict[tuple[str, str], object] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, arn: str) -> ExecutionView | None:
        """What an execution did; None if it no longer exists."""

        def look() -> tuple[ExecutionView | None, bool]:
            view = view_execution(self._clients, arn)
            return view, view is not None and view.status != "RUNNING"

        return self._look(("view", arn), look)

    def steps(self, arn: str, *, has_ended: bool) -> list[Step]:
        """What its states were given and gave."""
        return self._look(("steps", arn), lambda: (steps_of(self._clients, arn), has_ended))

    def _look(self, key: tuple[str, str], look: Callable[[], tuple[T, bool]]) -> T:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]  # type: ignore[return-value]
        seen, has_ended = look()
        if has_ended:
            with self._lock:
                self._kept[key] = seen
                while len(self._kept) > _MOST:
                    self._kept.popitem(last=False)
        return seen
