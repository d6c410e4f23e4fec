"""The states that a batch has written, and those from before it, from the files of its attempts."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from kalmap.batch.folder import Folder
from kalmap.batch.identity import Batch
from kalmap.errors import InputNotFound
from kalmap.keys import BATCHES, ROUNDS
from kalmap.store.objects import Objects
from kalmap.store.ports import Change, StateStore, StoredState
from kalmap_cli.errors import RunFailed
from kalmap_cli.screen import SHORT_ID

#: A file of changed states, or the filter's report about such a file. Its groups: the attempt, the
#: round, and the shard of either.
_FILE = re.compile(rf"([^/]+)/{ROUNDS}(\d+)/(?:states/(\d+)\.changed|reports/filter-(\d+)\.json)")


class Attempt(NamedTuple):
    """An execution of the batch that has come as far as to change states."""

    folder: Folder
    batch: Batch
    shards: list[tuple[int, int]]
    """Round and number of each shard whose changes are stored, the last round first."""
    lost: int
    """Shards whose changes are no longer stored."""


class Write(NamedTuple):
    """A write of one user's state by the batch. It may have lost against another one."""

    token: int
    """The version token that the state has or had, if the write was made."""
    change: Change
    before: StoredState | None
    """The state from before the batch, of all its attempts; None if there was none."""
    mixed: bool
    """Something else has written between two attempts of the batch."""


def attempts_of(objects: Objects, batch_id: str) -> list[Attempt]:
    """Find the attempts of a batch, the newest first.

    Raises:
        RunFailed: An attempt's files are no longer stored as a whole.
    """
    stored: dict[str, set[tuple[int, int]]] = {}
    filtered: dict[str, set[tuple[int, int]]] = {}
    root = f"{BATCHES}{batch_id}/"
    for key in objects.keys(root):
        if match := _FILE.fullmatch(key, len(root)):
            attempt, round_, changed, report = match.groups()
            into = stored if report is None else filtered
            into.setdefault(attempt, set()).add((int(round_), int(report or changed)))
    attempts = []
    for name in stored.keys() | filtered.keys():
        folder = Folder(objects, f"{root}{name}")
        try:
            batch = folder.batch()
        except InputNotFound as error:
            raise RunFailed(
                f"The files of batch {batch_id[:SHORT_ID]} are no longer stored as a whole: they "
                "are deleted after some days (the parameter WorkDays). Nothing was written."
            ) from error
        shards = stored.get(name, set())
        lost = sum(_has_changes(folder, *shard) for shard in filtered.get(name, set()) - shards)
        attempts.append(Attempt(folder, batch, sorted(shards, reverse=True), lost))
    return sorted(attempts, key=lambda attempt: attempt.batch.started_at, reverse=True)


def _has_changes(folder: Folder, round_: int, shard: int) -> bool:
    report = folder.report(round_, "filter", shard)
    return report is not None and not report.error and report.changed > 0


def writes_of(attempts: list[Attempt], store: StateStore) -> Iterator[list[Write]]:
    """List what each shard of the attempts has written, each user once: their last write.

    Args:
        attempts: From `attempts_of`.
        store: The table of states, which names each write.
    """
    earlier = {
        token: change.old
        for attempt in attempts[1:]
        for round_, shard in attempt.shards
        for change, token in _changes(attempt, round_, shard, store)
    }
    seen: set[str] = set()
    for attempt in attempts:
        for round_, shard in attempt.shards:
            writes = []
            for change, token in _changes(attempt, round_, shard, store):
                if change.user not in seen:
                    writes.append(_write(change, token, earlier))
                    if len(attempts) > 1:
                        seen.add(change.user)
            yield writes


def _changes(
    attempt: Attempt, round_: int, shard: int, store: StateStore
) -> list[tuple[Change, int]]:
    """A shard's changes with their tokens, without those that were made again in a later round."""
    report = attempt.folder.report(round_, "write", shard)
    again = set(report.conflicts) if report else set()
    changes = [c for c in attempt.folder.changes(round_, shard) if c.user not in again]
    tokens = store.write_tokens(
        changes, batch=attempt.batch.batch_id, attempt=attempt.batch.attempt, round_=round_
    )
    return [(change, tokens[change.user]) for change in changes]


def _write(change: Change, token: int, earlier: dict[int, StoredState | None]) -> Write:
    before = change.old
    while before is not None and before.version in earlier:
        before = earlier[before.version]
    mixed = before is not None and any(other in earlier for other in before.tokens)
    return Write(token, change, before, mixed)
