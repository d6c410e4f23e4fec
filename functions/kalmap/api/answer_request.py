"""The online path: the measurements of a request, answered at once.

A request is treated as a batch with one chunk and one shard, so that it goes through the same
parser, fold, store and encoder. Its users are divided into groups. Each group has its own deadline,
so that trouble in one group does not affect the others.
"""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kalmap.api.cached_states import CachedStates
from kalmap.api.user_group import GroupResult, Request, UserGroup, fill_decisions
from kalmap.filter.cohort import concat_revisions
from kalmap.filter.decisions import failed_decisions
from kalmap.outcome import Reason
from kalmap.records.shards import ShardInput, assemble, route
from kalmap.results.lines import count_decisions, encode, encode_revisions, encode_unreadable
from kalmap.results.report import Report
from kalmap.results.summary import summarise
from kalmap.results.totals import Totals, total

_SUMMARY_FIELDS = ("readings", "users", "quality", "time", "database", "hints")


class Pace(NamedTuple):
    """How many users of a request are processed at a time, and how long it may take."""

    group: int
    """Users per group."""
    workers: int
    """Groups at a time."""
    seconds: float
    """Seconds for the whole request."""


class Answer(NamedTuple):
    """The answer to a request. Its bytes are lines of JSON objects."""

    results: bytes
    """One for each measurement, in the same order."""
    unreadable: bytes
    """The faults of measurements that could not be read."""
    revisions: bytes
    """Earlier readings whose status a late reading has changed."""
    summary: dict[str, Any]
    totals: Totals


def answer_request(request: Request, states: CachedStates, pace: Pace) -> Answer:
    """Fold a request's measurements into their users' states.

    Args:
        request: At least one measurement.
        states: Access to the stored states.
        pace: Groups, workers and time.

    Returns:
        A result for every measurement. If a user could not be finished because of the time, the
        table or other writers, the user's results are `failed`, and may be sent again.

    Raises:
        StoreUnavailable: No user could be processed, or the circuit breaker is open.
    """
    began = datetime.now(UTC)
    slices, _ = route(request.measurements, 0, 1)
    shard = assemble([(0, 0, 0, slices)], request.profile)
    groups = _run_groups(request, shard, states, pace)
    errors = [group.error for group in groups if group.error]
    if errors and len(errors) == len(groups):
        raise errors[0]
    decisions = failed_decisions(len(shard.ids), Reason.TIMED_OUT)
    for group in groups:
        fill_decisions(decisions, group.rows, group.decisions)
    unreadable = count_decisions(failed_decisions(0, Reason.TIMED_OUT), shard.unreadable)
    parsing = Report(step="partition", records=request.measurements.records, readings=unreadable)
    totals = total([parsing, *(group.report for group in groups)])
    return Answer(
        results=encode(shard, decisions),
        unreadable=encode_unreadable(shard.unreadable, ["measurements"]),
        revisions=encode_revisions(
            shard.users, concat_revisions([part for group in groups for part in group.revisions])
        ),
        summary=_summary(totals, max((group.rounds for group in groups), default=0), began),
        totals=totals,
    )


def _summary(totals: Totals, rounds: int, began: datetime) -> dict[str, Any]:
    summary = summarise(
        totals,
        identity={},
        status="succeeded",
        reason=None,
        rounds=rounds,
        started=began,
        finished=datetime.now(UTC),
    )
    # Several groups are processed at a time, so there are no phases.
    del summary["time"]["phases"]
    return {name: summary[name] for name in _SUMMARY_FIELDS}


def _run_groups(
    request: Request, shard: ShardInput, states: CachedStates, pace: Pace
) -> list[GroupResult]:
    starts = range(0, len(shard.users), pace.group)
    workers = max(1, min(pace.workers, len(starts)))
    # Each group has its share of the time, even if it waits for a worker while others are slow.
    share = pace.seconds / max(1, math.ceil(len(starts) / workers))
    end = time.monotonic() + pace.seconds

    def run(start: int) -> GroupResult:
        deadline = min(end, time.monotonic() + share)
        members = range(start, start + pace.group)
        return UserGroup(request, shard, members, states, deadline).run()

    if workers == 1:
        return [run(start) for start in starts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, starts))
