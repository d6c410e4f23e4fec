"""CollectWrites: sum a round's write reports, and make the next round from the conflicts."""

import random
from typing import NamedTuple

from kalmap.batch.commit_gate import failed_commit
from kalmap.batch.folder import Folder, Shard
from kalmap.batch.identity import MAX_CONFLICT_ROUNDS
from kalmap.pipeline.lost_workers import record_lost_write
from kalmap.results.totals import sum_of, total


class Collected(NamedTuple):
    """The sum of a round's writes, and the next round."""

    round: int
    """The next round, or the last one."""
    conflicts: int = 0
    """Users in the next round."""
    items: str = ""
    """Key of the next round's Map items; empty after the last round."""
    failed: bool = False
    """Whether more shards than the batch's limit could not be committed."""
    reason: str = ""
    """A sentence that says why it failed."""
    wait: int = 0
    """Seconds until the next round, drawn at random so that two batches do not collide again."""


def collect_writes(folder: Folder, round_: int) -> Collected:
    """Sum a round's write reports, and make the next round's shards from the users in conflict."""
    shards = folder.shards(round_)
    reports = {report.number: report for report in folder.reports(round_, "write")}
    again: list[Shard] = []
    conflicts = 0
    for shard in shards:
        report = reports.get(shard.number) or record_lost_write(folder, round_, shard)
        if report.conflicts:
            folder.save_users(round_ + 1, shard.number, report.conflicts)
            again.append(shard)
            conflicts += len(report.conflicts)
    folder.save_totals(round_, total(folder.reports(round_)))
    if not again or round_ >= MAX_CONFLICT_ROUNDS:
        totals = sum_of(folder.totals(number) for number in range(round_ + 1))
        reason = failed_commit(totals, folder.batch().limits)
        return Collected(round_, failed=reason is not None, reason=reason or "")
    items = folder.save_shards(round_ + 1, again)
    # Thirty batches at once, each with fifteen seconds between load and write, all succeed within
    # the allowed rounds: see docs/decisions.
    wait = random.randint(1, 8 * 2**round_)  # noqa: S311 - spreads load, guards nothing
    return Collected(round_ + 1, conflicts=conflicts, items=items, wait=wait)
