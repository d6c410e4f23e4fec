"""FilterUsers: fold a shard's readings into its users' states, without the database."""

import math

import numpy as np

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.partitions import Partitions
from kalmap.filter.fold import Folded, fold_users
from kalmap.outcome import Status
from kalmap.profile import Profile
from kalmap.records.shards import ShardInput
from kalmap.results.changes import changes
from kalmap.results.lines import (
    count_decisions,
    encode_measurements,
    encode_revisions,
    encode_unreadable,
)
from kalmap.results.report import Report
from kalmap.results.table import encode_results


def filter_users(folder: Folder, round_: int, shard: Shard) -> Report:
    """Fold a shard, and store its results, its changed states and its failed readings.

    A shard whose states could not be loaded has failed already, and keeps its report.
    """
    loaded = folder.report(round_, "load", shard.number)
    if loaded and loaded.error:
        return folder.report(round_, "filter", shard.number) or loaded
    batch = folder.batch()
    inputs = Partitions(folder).shard_input(
        shard, batch.profile, folder.users(round_, shard.number)
    )
    states = folder.snapshot(round_, shard.number)
    fresh = batch.write_mode == "overwrite"
    folded = fold_users(
        batch.profile,
        [None if fresh or name not in states else states[name].body for name in inputs.users],
        inputs.readings,
        batch.now,
        adopt_profile=batch.adopt_profile,
    )
    changed = changes(inputs.users, folded, states)
    folder.save_changes(round_, shard.number, changed)
    folder.objects.put(
        folder.results_key(round_, shard.number, form=batch.results),
        encode_results(batch.results, inputs, folded.decisions),
    )
    _save_lines(folder, round_, shard.number, inputs, folded, profile=batch.profile)
    accepted = folded.decisions.status == Status.ACCEPTED
    rejected = inputs.readings.user[folded.decisions.status == Status.REJECTED]
    return Report(
        step="filter",
        round=round_,
        number=shard.number,
        readings=count_decisions(folded.decisions, inputs.unreadable),
        users=len(inputs.users),
        new_users=sum(name not in states for name in inputs.users),
        failed_users=int(np.count_nonzero(folded.users.failure)),
        changed=len(changed),
        largest_user=int(np.bincount(inputs.readings.user).max(initial=0)),
        most_rejected=int(np.bincount(rejected).max(initial=0)),
        # math.fsum: the same mean however the readings were spread over shards.
        quality_sum=math.fsum(folded.decisions.quality[accepted].tolist()),
        quality_count=int(accepted.sum()),
    )


def _save_lines(
    folder: Folder,
    round_: int,
    shard: int,
    inputs: ShardInput,
    folded: Folded,
    *,
    profile: Profile,
) -> None:
    if inputs.unreadable:
        unreadable = encode_unreadable(inputs.unreadable, folder.plan().files)
        folder.save_lines("unreadable", round_, shard, unreadable)
    failed = np.flatnonzero(folded.decisions.status == Status.FAILED)
    folder.save_lines("failed", round_, shard, encode_measurements(inputs, failed, profile))
    revisions = encode_revisions(inputs.users, folded.revisions)
    folder.save_lines("revisions", round_, shard, revisions)
