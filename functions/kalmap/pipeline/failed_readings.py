"""Results of readings that could not be processed: of a shard, or of some of its users."""

from collections.abc import Mapping

import msgspec
import numpy as np

from kalmap.batch.folder import Folder, Shard
from kalmap.errors import InputChanged, InputNotFound
from kalmap.filter.outcomes import Outcomes, failed_outcomes
from kalmap.outcome import Reason, Status
from kalmap.pipeline.restore import restore
from kalmap.records.shards import ShardInput
from kalmap.results.lines import (
    count_outcomes,
    encode,
    encode_measurements,
    encode_unreadable,
)
from kalmap.results.report import Report
from kalmap.results.tally import Tally, decision
from kalmap.store.objects import OpenBucket
from kalmap.store.ports import StateStore

#: Why a shard is given up whose function ended without a report.
WORKER_LOST = "The shard's worker was lost and left no report."
#: What reading one of the batch's own objects raises where it is missing or cut off.
_UNREADABLE = (InputNotFound, msgspec.MsgspecError, ValueError)


class _Line(msgspec.Struct, gc=False):
    """What a superseded result line is counted by."""

    user_id: str | None
    status: str
    reason: str | None
    quality: float | None = None


def fail_shard(
    folder: Folder, round_: int, shard: Shard, sentence: str, bucket: OpenBucket | None = None
) -> Report:
    """Record that a shard could not be loaded or filtered: all its readings are `failed`.

    Args:
        folder: The batch's.
        round_: The conflict round, from 0.
        shard: The shard.
        sentence: Why it was given up.
        bucket: Opens the input's buckets, where the batch's own copy of the readings is lost;
            None for who may not read them.
    """
    batch = folder.batch()
    try:
        inputs = _readings(folder, shard, folder.users(round_, shard.shard), bucket)
    except (*_UNREADABLE, InputChanged):
        if round_:
            raise
        # Its readings are known by number only: they are counted, and have no result lines.
        counts = Tally({(Status.FAILED, Reason.SHARD_FAILED): shard.readings})
        return Report(step="filter", number=shard.shard, error=sentence, readings=counts)
    outcomes = failed_outcomes(len(inputs.ids), Reason.SHARD_FAILED)
    folder.objects.put(folder.results_key(round_, shard.shard), encode(inputs, outcomes))
    if inputs.unread:
        lines = encode_unreadable(inputs.unread, folder.plan().files)
        folder.save_named("unreadable", round_, shard.shard, lines)
    rows = np.arange(len(inputs.ids))
    folder.save_named(
        "failed", round_, shard.shard, encode_measurements(inputs, rows, batch.profile)
    )
    return Report(
        step="filter",
        round=round_,
        number=shard.shard,
        error=sentence,
        readings=count_outcomes(outcomes, inputs.unread),
        users=len(inputs.users),
        failed_users=len(inputs.users),
    )


def fail_write(
    folder: Folder,
    store: StateStore | None,
    round_: int,
    shard: Shard,
    sentence: str,
    *,
    bucket: OpenBucket | None = None,
    deadline: float | None = None,
) -> Report:
    """Record that a shard's write step was given up: find out which states it had written.

    Without a store nobody can tell; every changed user then counts as unknown and failed. For
    `bucket` see `fail_shard`.

    Raises:
        StoreUnavailable: The table did not say it before the deadline.
    """
    report = Report(step="write", round=round_, number=shard.shard, error=sentence)
    filtered = folder.report(round_, "filter", shard.shard)
    if filtered is None or filtered.error:
        return report
    batch = folder.batch()
    try:
        changes = folder.changes(round_, shard.shard)
    except _UNREADABLE:
        # What cannot be read was not written.
        inputs = _readings(folder, shard, folder.users(round_, shard.shard), bucket)
        fail_users(folder, report, shard, dict.fromkeys(inputs.users, Reason.SHARD_FAILED), bucket)
        return report
    made: set[str] = set()
    if store is not None:
        made = store.find_written(
            batch.profile.name,
            changes,
            batch=batch.batch_id,
            attempt=batch.attempt,
            round_=round_,
            deadline=deadline,
        )
    failed = {change.user for change in changes} - made
    report.written = len(made)
    report.unknown = len(failed) if store is None else 0
    fail_users(folder, report, shard, dict.fromkeys(failed, Reason.SHARD_FAILED), bucket)
    return report


def fail_users(
    folder: Folder,
    report: Report,
    shard: Shard,
    reasons: Mapping[str, Reason],
    bucket: OpenBucket | None = None,
) -> None:
    """Give some users of a filtered shard `failed` results that stand above the others.

    Adds to the report what no longer holds of the filter step's counts, for these users and
    for those that go round again. For `bucket` see `fail_shard`.
    """
    again = set(report.conflicts) - set(reasons)
    if not reasons and not again:
        return
    _supersede(folder, report, again.union(reasons))
    if not reasons:
        return
    batch = folder.batch()
    inputs = _readings(folder, shard, set(reasons), bucket)._replace(unread=[])
    outcomes = _outcomes(inputs, reasons)
    folder.objects.put(
        folder.results_key(report.round, shard.shard, failed=True), encode(inputs, outcomes)
    )
    rows = np.arange(len(inputs.ids))
    name = report.number
    previous = _existing(folder, f"failed/{report.round}-{name:06d}.jsonl", set(reasons))
    folder.save_named(
        "failed",
        report.round,
        name,
        previous + encode_measurements(inputs, rows, batch.profile),
    )
    report.failed_users = len(reasons)
    report.conflicts = sorted(again)
    report.readings = count_outcomes(outcomes, [])


def _readings(
    folder: Folder, shard: Shard, users: set[str] | None, bucket: OpenBucket | None
) -> ShardInput:
    """A shard's readings; where the batch has lost them, those of its input."""
    profile = folder.batch().profile
    try:
        return folder.shard_input(shard, profile, users)
    except _UNREADABLE:
        if bucket is None:
            raise
        restore(folder, shard, bucket)
        return folder.shard_input(shard, profile, users)


def _outcomes(inputs: ShardInput, reasons: Mapping[str, Reason]) -> Outcomes:
    outcomes = failed_outcomes(len(inputs.ids), Reason.SHARD_FAILED)
    reason_of_user = np.array([reasons[name] for name in inputs.users], np.uint8)
    return outcomes._replace(reason=reason_of_user[inputs.readings.user])


def _existing(folder: Folder, name: str, users: set[str]) -> bytes:
    """Lines the filter step put there for other users; ours are replaced."""
    try:
        lines = folder.objects.get(folder.key(name)).splitlines(keepends=True)
    except InputNotFound:
        return b""
    decode = msgspec.json.Decoder(dict[str, object]).decode
    return b"".join(line for line in lines if decode(line)["user_id"] not in users)


def _supersede(folder: Folder, report: Report, users: set[str]) -> None:
    superseded = report.superseded = Tally()
    decode = msgspec.json.Decoder(_Line).decode
    for line in folder.objects.lines(folder.results_key(report.round, report.number)):
        result = decode(line)
        # An unreadable record's result depends on no state: it holds in every round.
        if result.user_id in users and result.status != Status.UNREADABLE.label:
            superseded[decision(result.status, result.reason)] += 1
            if result.status == Status.ACCEPTED.label and result.quality is not None:
                report.quality_sum -= result.quality
                report.quality_count -= 1
