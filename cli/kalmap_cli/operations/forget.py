"""Forgetting: a user's states and traces are deleted, and what others share with them is kept."""

from typing import NamedTuple

from kalmap.store.objects import Objects
from kalmap.store.ports import StateStore
from kalmap_cli.operations.user_traces import Trace


class Forgotten(NamedTuple):
    """What was deleted."""

    states: int
    rewritten: int
    """Objects that were written anew without the user."""
    deleted: int
    """Versions of objects that were deleted for good."""
    failed: list[str]
    """Sentences about states that could not be deleted."""


def forget(user: str, store: StateStore, objects: Objects, traces: list[Trace]) -> Forgotten:
    """Delete a user's states under every profile, and take the user out of every trace.

    An object is written without the user before its earlier version is deleted. So a second call
    goes on where the first one ended, and nothing of other users is lost.

    Raises:
        StoreUnavailable: The states could not be read.
    """
    states = 0
    failed: list[str] = []
    for state in list(store.of_user(user)):
        # Whichever state is stored: a batch may have written another one since.
        result = store.delete(state.profile, {user: None})
        states += len(result.deleted)
        failed += result.failed.values()
    rewritten = 0
    for version, without in traces:
        if version.current and without is not None:
            kept = without(objects.get_version(version), user)
            if kept is not None:
                objects.put(version.key, kept)
                rewritten += 1
        objects.delete_version(version)
    return Forgotten(states, rewritten, len(traces), failed)
