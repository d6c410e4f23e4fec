"""Items of tables are copied quickly, and not at all when they are saved.

ministack copies an item with `copy.deepcopy`, which looks for objects that occur twice, and so
takes ten times as long as building the item anew. An update copies its item twice, and a save
copies all tables before it turns them into JSON. An item is a tree of dictionaries, lists and text,
in which nothing occurs twice by intention. Here such trees are built anew. A save turns the tables
into JSON as they are, in one call, during which no request is handled.
"""

import contextlib
import copy
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from ministack.services import dynamodb

_is_saved: ContextVar[bool] = ContextVar("is_saved", default=False)


def install() -> None:
    """Let ministack's tables copy items quickly."""
    dynamodb.copy = _CopyModule()


@contextlib.contextmanager
def without_copies() -> Iterator[None]:
    """While the block lasts, tables give their content itself, in this thread only."""
    token = _is_saved.set(True)
    try:
        yield
    finally:
        _is_saved.reset(token)


class _CopyModule:
    """The module copy, with a quicker `deepcopy`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(copy, name)

    def deepcopy(self, value: Any) -> Any:
        """A copy of a value; while it is saved, the value itself."""
        return value if _is_saved.get() else copied(value)


def copied(value: Any) -> Any:
    """A copy of a tree. What is not a plain dictionary, list or text is copied as ever."""
    kind = type(value)
    if kind is dict:
        return {name: copied(part) for name, part in value.items()}
    if kind is str:
        return value
    if kind is list:
        return [copied(part) for part in value]
    return copy.deepcopy(value)
