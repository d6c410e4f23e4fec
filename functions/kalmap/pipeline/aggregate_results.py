"""AggregateResults: sum a round's reports, and judge whether round 0 may be committed."""

from typing import NamedTuple

from kalmap.batch.commit_gate import closed_gate
from kalmap.batch.folder import Folder
from kalmap.pipeline.lost_workers import record_lost_filter
from kalmap.results.totals import total


class Judged(NamedTuple):
    """Whether a round may be committed."""

    open: bool
    reason: str


def aggregate_results(folder: Folder, round_: int) -> Judged:
    """Sum a round's reports. In round 0, judge the commit gate."""
    shards = folder.shards(round_)
    reports = {report.number: report for report in folder.reports(round_, "filter")}
    for shard in shards:
        if shard.number not in reports:
            record_lost_filter(folder, round_, shard)
    totals = total(folder.reports(round_))
    folder.save_totals(round_, totals)
    reason = None
    if round_ == 0:
        examples = folder.unreadable_examples(round_)
        reason = closed_gate(totals, folder.batch().limits, examples)
    return Judged(open=reason is None, reason=reason or "")
