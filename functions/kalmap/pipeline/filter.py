"""FilterUsers: the fold of a shard's readings into its users' states. No database."""

import math

import msgspec
import numpy as np

from kalmap import results
from kalmap.batch import Batch
from kalmap.fold import Folded, fold_users
from kalmap.folder import Folder, Shard
from kalmap.item import Change, StoredState
from kalmap.outcome import Reason, Status
from kalmap.report import Report
from kalmap.results import Outcomes
from kalmap.shards import ShardInput


def filter_users(folder: Folder, round_: int, shard: Shard) -> Report:
    """Fold a shard; keep its results, its changed states and what failed.

    A shard whose states could not be loaded has failed already; its report stands.
    """
    loaded = folder.report(round_, "load", shard.shard)
    if loaded and loaded.error:
        return folder.report(round_, "filter", shard.shard) or loaded
    batch = folder.batch()
    inputs = folder.shard_input(shard, batch.profile, folder.users(round_, shard.shard))
    states = folder.snapshot(round_, shard.shard)
    fresh = batch.write_mode == "overwrite"
    folded = fold_users(
        batch.profile,
        [None if fresh or name not in states else states[name].body for name in inputs.users],
        inputs.readings,
        batch.now,
        adopt_profile=batch.adopt_profile,
    )
    outcomes = Outcomes(*(getattr(folded, name) for name in Outcomes._fields))
    changes = _changes(inputs, folded, states)
    folder.save_changes(round_, shard.shard, changes)
    folder.objects.put(folder.results_key(round_, shard.shard), results.encode(inputs, outcomes))
    _save_lines(folder, batch, round_, shard.shard, inputs, folded)
    accepted = folded.status == Status.ACCEPTED
    return Report(
        step="filter",
        round=round_,
        shard=shard.shard,
        readings=results.status_counts(outcomes, inputs.unread),
        users=len(inputs.users),
        new_users=sum(name not in states for name in inputs.users),
        failed_users=int(np.count_nonzero(folded.failure)),
        changed=len(changes),
        # math.fsum: the same mean however the readings were spread over shards.
        quality_sum=math.fsum(folded.quality[accepted].tolist()),
        quality_count=int(accepted.sum()),
    )


def _changes(inputs: ShardInput, folded: Folded, states: dict[str, StoredState]) -> list[Change]:
    changes = []
    for user in np.flatnonzero(folded.changed).tolist():
        name, body = inputs.users[user], folded.bodies[user]
        if body is None:
            raise AssertionError("a changed user has no new state")
        changes.append(
            Change(
                user=name,
                old=states.get(name),
                body=body,
                level=float(folded.user_level[user]),
                slope=float(folded.user_slope[user]),
                as_of=int(folded.as_of[user]),
            )
        )
    return changes


def _save_lines(
    folder: Folder, batch: Batch, round_: int, shard: int, inputs: ShardInput, folded: Folded
) -> None:
    if inputs.unread:
        rejected = results.encode_rejected(inputs.unread, folder.plan().files)
        folder.save_named("rejected", round_, shard, rejected)
    failed = np.flatnonzero(folded.status == Status.FAILED)
    folder.save_named(
        "failed", round_, shard, results.encode_measurements(inputs, failed, batch.profile)
    )
    revisions = folded.revisions
    lines = [
        {
            "user_id": inputs.users[user],
            "timestamp": timestamp,
            "value": value,
            "old_status": Status(old_status).label,
            "old_reason": Reason(old_reason).label,
            "new_status": Status(new_status).label,
            "new_reason": Reason(new_reason).label,
        }
        for user, timestamp, value, old_status, old_reason, new_status, new_reason in zip(
            revisions.user.tolist(),
            results.iso_timestamps(revisions.time),
            revisions.value.tolist(),
            revisions.old_status.tolist(),
            revisions.old_reason.tolist(),
            revisions.new_status.tolist(),
            revisions.new_reason.tolist(),
            strict=True,
        )
    ]
    folder.save_named("revisions", round_, shard, msgspec.json.Encoder().encode_lines(lines))
