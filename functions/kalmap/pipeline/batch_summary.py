"""The summary of a batch: its identity and the sum of its reports. Also the end of its record."""

from datetime import datetime
from typing import Any

import msgspec

from kalmap.batch.identity import Batch
from kalmap.moments import parse_moment
from kalmap.results.summary import summarise
from kalmap.results.totals import Totals
from kalmap.store.ports import BatchEnd, EndStatus


def summarise_batch(
    batch: Batch,
    totals: Totals,
    status: str,
    reason: str | None,
    *,
    rounds: int,
    finished: datetime,
) -> dict[str, Any]:
    """Build the content of `summary.json`. See `kalmap.results.summary`."""
    return summarise(
        totals,
        identity={
            "batch_id": batch.batch_id,
            "attempt": batch.attempt,
            "profile": batch.profile.name,
            "write_mode": batch.write_mode,
            "adopt_profile": batch.adopt_profile,
            "now": batch.now_iso,
            "retry_of": batch.retry_of,
            "share": batch.share and msgspec.to_builtins(batch.share),
        },
        status=status,
        reason=reason,
        rounds=rounds,
        started=parse_moment(batch.started_at),
        finished=finished,
    )


def batch_end(
    status: EndStatus,
    reason: str | None,
    summary_key: str,
    summary: dict[str, Any],
    finished: datetime,
) -> BatchEnd:
    """How a batch ended, with the summary's counts, for its record."""
    readings, users = summary["readings"], summary["users"]
    return BatchEnd(
        status=status,
        reason=reason,
        summary=summary_key,
        finished_at=finished,
        received=readings["received"],
        accepted=readings["accepted"],
        users=users["total"],
        changed=users["changed"],
    )
