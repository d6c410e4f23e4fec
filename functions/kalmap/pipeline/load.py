"""LoadStates: the stored states of a shard's users, as a snapshot for FilterUsers."""

from kalmap.batch.folder import Folder, Shard
from kalmap.results.report import Report
from kalmap.store.states import StateStore


def load(
    folder: Folder, store: StateStore, round_: int, shard: Shard, deadline: float | None
) -> Report:
    """Read the states of a shard's users and keep them as the round's snapshot.

    Raises:
        StoreUnavailable: The table did not answer in time; nothing is kept.
    """
    batch = folder.batch()
    only = folder.users(round_, shard.shard)
    users = folder.shard_input(shard, batch.profile, only).users if only is None else sorted(only)
    loaded = store.load(batch.profile.name, users, deadline=deadline)
    folder.save_snapshot(round_, shard.shard, loaded.states)
    return Report(
        step="load", round=round_, shard=shard.shard, users=len(users), database=loaded.use
    )
