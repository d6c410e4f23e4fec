"""LoadStates: read the stored states of a shard's users, as a snapshot for FilterUsers."""

import msgspec

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.partitions import Partitions
from kalmap.results.report import Report
from kalmap.store.ports import DatabaseUse, StateStore, StoredState


class LoadProgress(msgspec.Struct):
    """The states that tries without enough time have read of a shard."""

    left: list[str]
    """Users whose state is still to be read."""
    states: dict[str, StoredState] = {}
    database: DatabaseUse = msgspec.field(default_factory=DatabaseUse)


def load_states(
    folder: Folder, store: StateStore, round_: int, shard: Shard, deadline: float | None
) -> Report:
    """Read the states of a shard's users and store them as the round's snapshot.

    A new state is written only over the version that was read. So states that were read by
    different tries do no harm.

    Raises:
        StoreUnavailable: The table did not answer in time. What was read is stored, and the
            next try reads the rest.
    """
    batch = folder.batch()
    only = folder.users(round_, shard.number)
    users = (
        Partitions(folder).shard_input(shard, batch.profile, only).users
        if only is None
        else sorted(only)
    )
    before = folder.progress(round_, "load", shard.number, LoadProgress) or LoadProgress(users)
    loaded, trouble = store.load_part(batch.profile.name, before.left, deadline=deadline)
    states = before.states | loaded.states
    database = before.database + loaded.use
    if trouble:
        progress = LoadProgress(list(loaded.left), states, database)
        folder.save_progress(round_, "load", shard.number, progress)
        raise trouble
    folder.save_snapshot(round_, shard.number, states)
    return Report(
        step="load", round=round_, number=shard.number, users=len(users), database=database
    )
