"""AggregateResults and CollectWrites: a round's reports summed, and what follows judged."""

import random
from typing import NamedTuple

from kalmap.batch.commit_gate import closed_gate, failed_commit
from kalmap.batch.folder import Folder, Shard
from kalmap.batch.identity import MAX_CONFLICT_ROUNDS
from kalmap.pipeline.fail_shard import fail_shard, fail_write
from kalmap.results.report import Report
from kalmap.results.totals import sum_of, total

_LOST = "The shard's worker was lost and left no report."


class Judged(NamedTuple):
    """Whether a round may be committed."""

    open: bool
    reason: str


class Collected(NamedTuple):
    """What follows a round's writes."""

    conflicts: int
    """Users who go round again."""
    round: int
    items: str
    """Key of the next round's Map items; empty where none follows."""
    failed: bool
    """Whether more shards than the batch's limit could not be committed."""
    reason: str
    wait: int
    """Seconds before it, jittered so that two batches do not meet again."""


def aggregate(folder: Folder, round_: int) -> Judged:
    """Sum a round's reports; in round 0, judge the commit gate."""
    shards = folder.shards(round_)
    reports = {report.shard: report for report in folder.reports(round_, "filter")}
    for shard in shards:
        if shard.shard not in reports:
            report = fail_shard(folder, round_, shard, _LOST)
            folder.save_report(report)
    totals = total(folder.reports(round_))
    folder.save_totals(round_, totals)
    reason = None
    if round_ == 0:
        examples = folder.unreadable_examples(round_)
        reason = closed_gate(totals, folder.batch().limits, examples)
    return Judged(open=reason is None, reason=reason or "")


def collect_writes(folder: Folder, round_: int) -> Collected:
    """Sum a round's write reports; users in conflict become the next round's shards."""
    shards = folder.shards(round_)
    reports = {report.shard: report for report in folder.reports(round_, "write")}
    again: list[Shard] = []
    conflicts = 0
    for shard in shards:
        report = reports.get(shard.shard) or _lost_write(folder, round_, shard)
        if report.conflicts:
            folder.save_users(round_ + 1, shard.shard, report.conflicts)
            again.append(shard)
            conflicts += len(report.conflicts)
    folder.save_totals(round_, total(folder.reports(round_)))
    if not again or round_ >= MAX_CONFLICT_ROUNDS:
        totals = sum_of(folder.totals(number) for number in range(round_ + 1))
        reason = failed_commit(totals, folder.batch().limits)
        return Collected(0, round_, "", reason is not None, reason or "", 0)
    items = folder.save_shards(round_ + 1, again)
    # Thirty batches at once, each fifteen seconds between load and write, get through in the rounds
    # there are: see docs/decisions.
    wait = random.randint(1, 8 * 2**round_)  # noqa: S311 - spreads load, guards nothing
    return Collected(conflicts, round_ + 1, items, False, "", wait)


def _lost_write(folder: Folder, round_: int, shard: Shard) -> Report:
    report = fail_write(folder, None, round_, shard, _LOST)
    folder.save_report(report)
    return report
