"""WriteStates: write a shard's changed states in bulk, each under a condition."""

from collections.abc import Sequence

import msgspec

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.identity import MAX_CONFLICT_ROUNDS
from kalmap.errors import StoreUnavailable
from kalmap.outcome import Reason
from kalmap.plural import counted
from kalmap.results.report import Report
from kalmap.store.ports import Change, DatabaseUse, StateStore, WriteResult


class WriteProgress(msgspec.Struct):
    """The outcome of a shard's changes in tries without enough time."""

    left: list[str] = []
    """Users whose state is still to be written."""
    written: int = 0
    conflicts: list[str] = []
    failed: dict[str, str] = {}
    """Users whose write was refused for good, with a sentence why."""
    database: DatabaseUse = msgspec.field(default_factory=DatabaseUse)


def write_states(
    folder: Folder, store: StateStore, round_: int, shard: Shard, deadline: float | None
) -> Report:
    """Write a shard's changed states, each only over the version it was computed from.

    Users in conflict are in the next round. In the last round, and if a write was refused, their
    readings become `failed`.

    Raises:
        StoreUnavailable: The time ended before all states were written. The outcome of the others
            is stored, and the next try writes the rest.
    """
    report = Report(step="write", round=round_, number=shard.number)
    filtered = folder.report(round_, "filter", shard.number)
    if filtered is None or filtered.error:
        return report
    batch = folder.batch()
    changes = folder.changes(round_, shard.number)
    before = folder.progress(round_, "write", shard.number, WriteProgress)
    if before:
        left = set(before.left)
        changes = [change for change in changes if change.user in left]
    result = store.write(
        batch.profile.name,
        changes,
        batch=batch.batch_id,
        attempt=batch.attempt,
        round_=round_,
        mode=batch.write_mode,
        deadline=deadline,
    )
    done = _sum(before, result)
    if done.left:
        folder.save_progress(round_, "write", shard.number, done)
        raise StoreUnavailable(_too_slow(shard, changes, result))
    report.database = done.database
    report.written = done.written
    report.conflicts = sorted(done.conflicts)
    failed: dict[str, Reason] = dict.fromkeys(done.failed, Reason.USER_FAILED)
    if round_ >= MAX_CONFLICT_ROUNDS:
        failed |= dict.fromkeys(done.conflicts, Reason.CONFLICT)
    if failed or report.conflicts:
        # Most shards have neither, and need neither numpy nor the formats.
        from kalmap.pipeline.failed_readings import fail_users  # noqa: PLC0415

        fail_users(folder, report, shard, failed)
    if done.failed:
        report.error = next(iter(done.failed.values()))
    return report


def _sum(before: WriteProgress | None, result: WriteResult) -> WriteProgress:
    """Add what this try has done to what earlier tries had."""
    first = before or WriteProgress()
    refused = {
        user: sentence for user, sentence in result.failed.items() if user not in result.unfinished
    }
    return WriteProgress(
        left=sorted(result.unfinished),
        written=first.written + len(result.stored),
        conflicts=[*first.conflicts, *result.conflicts],
        failed=first.failed | refused,
        database=first.database + result.use,
    )


def _too_slow(shard: Shard, changes: Sequence[Change], result: WriteResult) -> str:
    example = result.failed[next(iter(result.unfinished))]
    return (
        f"Of {counted(len(changes), 'state')} of shard {shard.number} that were to be written, "
        f"{len(result.unfinished):,} could not be written in time. {example}"
    )
