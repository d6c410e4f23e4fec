"""Pruning: states of users from whom nothing has come for long are deleted."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import NamedTuple

from kalmap.store.ports import StateStore, UserState
from kalmap_cli.stored_bodies import read_bodies

#: States that are read and deleted at once.
_BLOCK = 5000


class Pruned(NamedTuple):
    """What became of the stored states, or what would."""

    deleted: int = 0
    kept: int = 0
    """States with a newer reading, also one that came meanwhile."""
    damaged: int = 0
    """States that cannot be read. They are kept."""
    failed: tuple[str, ...] = ()
    """Sentences about states that could not be deleted."""


def prune(store: StateStore, before: int, profile: str | None = None, *, rehearse: bool) -> Pruned:
    """Delete the states whose newest reading is older than a time.

    A state is deleted on condition that it has not changed since it was read.

    Args:
        store: The table of states.
        before: The time, microseconds since 1970 UTC.
        profile: Name of the only profile whose states are deleted; None for all.
        rehearse: Delete nothing, and say what would be deleted.

    Raises:
        StoreUnavailable: The states could not be read.
    """
    done = Pruned()
    states = (state for state in store.scan() if profile in {None, state.profile})
    for block in _blocks(states):
        facts = read_bodies([state.state.body for state in block])
        is_old = facts.is_sound & (facts.as_of < before)
        old = [state for state, chosen in zip(block, is_old.tolist(), strict=True) if chosen]
        damaged = int((~facts.is_sound).sum())
        deleted = len(old)
        failed: list[str] = []
        if not rehearse:
            deleted, failed = _delete(store, old)
        done = Pruned(
            done.deleted + deleted,
            done.kept + len(block) - damaged - deleted - len(failed),
            done.damaged + damaged,
            (*done.failed, *failed),
        )
    return done


def _delete(store: StateStore, old: list[UserState]) -> tuple[int, list[str]]:
    deleted = 0
    failed: list[str] = []
    for profile, states in groupby(
        sorted(old, key=lambda state: state.profile), lambda state: state.profile
    ):
        result = store.delete(profile, {state.user: state.state for state in states})
        deleted += len(result.deleted)
        failed += list(result.failed.values())
    return deleted, failed


def _blocks(states: Iterable[UserState]) -> Iterator[list[UserState]]:
    rest = iter(states)
    while block := list(islice(rest, _BLOCK)):
        yield block
