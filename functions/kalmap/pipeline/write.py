"""WriteStates: the bulk conditional write of a shard's changed states."""

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.identity import MAX_CONFLICT_ROUNDS
from kalmap.outcome import Reason
from kalmap.pipeline.fail_shard import fail_users
from kalmap.results.report import Report
from kalmap.store.states import StateStore


def write(
    folder: Folder, store: StateStore, round_: int, shard: Shard, deadline: float | None
) -> Report:
    """Write a shard's changed states, each only over the version it was computed from.

    Users in conflict go round again; in the last round, and where a write was given up,
    their readings become `failed`.
    """
    report = Report(step="write", round=round_, shard=shard.shard)
    filtered = folder.report(round_, "filter", shard.shard)
    if filtered is None or filtered.error:
        return report
    batch = folder.batch()
    changes = folder.changes(round_, shard.shard)
    written = store.write(
        batch.profile.name,
        changes,
        batch=batch.batch_id,
        attempt=batch.attempt,
        round_=round_,
        mode=batch.write_mode,
        deadline=deadline,
    )
    report.database = written.use
    report.written = len(written.written)
    report.conflicts = sorted(written.conflicts)
    failed: dict[str, Reason] = dict.fromkeys(written.failed, Reason.USER_FAILED)
    if round_ >= MAX_CONFLICT_ROUNDS:
        failed |= dict.fromkeys(written.conflicts, Reason.CONFLICT)
    fail_users(folder, report, shard, failed)
    if written.failed:
        report.error = next(iter(written.failed.values()))
    return report
