"""Failed readings: results of readings that could not be processed, of a shard or some users."""

from collections.abc import Mapping

import msgspec
import numpy as np

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.partitions import Partitions
from kalmap.errors import InputChanged, InputNotFound
from kalmap.filter.decisions import Decisions, failed_decisions
from kalmap.keys import Form
from kalmap.outcome import Reason, Status
from kalmap.pipeline.restore import restore
from kalmap.records.shards import ShardInput
from kalmap.results.lines import (
    count_decisions,
    encode_measurements,
    encode_unreadable,
)
from kalmap.results.merge import result_lines
from kalmap.results.report import Report
from kalmap.results.table import encode_results
from kalmap.results.tally import Tally, decision
from kalmap.store.objects import OpenBucket
from kalmap.store.ports import StateStore

#: Raised when one of the batch's own objects is missing or cut off.
_UNREADABLE = (InputNotFound, msgspec.MsgspecError, ValueError)


class _Line(msgspec.Struct, gc=False):
    """The fields of a superseded result line that are counted."""

    user_id: str | None
    status: str
    reason: str | None
    quality: float | None = None


def fail_shard(
    folder: Folder, round_: int, shard: Shard, sentence: str, bucket: OpenBucket | None = None
) -> Report:
    """Record that a shard could not be loaded or filtered: all its readings are `failed`.

    Args:
        folder: The batch's folder.
        round_: The conflict round, from 0.
        shard: The shard.
        sentence: A sentence that says why it failed.
        bucket: Opens input buckets, to read readings again whose partition is lost. None if the
            caller has no permission.
    """
    batch = folder.batch()
    try:
        inputs = _readings(folder, shard, folder.users(round_, shard.number), bucket)
    except (*_UNREADABLE, InputChanged):
        if round_:
            raise
        # Only the number of its readings is known: they are counted but have no result lines.
        counts = Tally({(Status.FAILED, Reason.SHARD_FAILED): shard.readings})
        return Report(step="filter", number=shard.number, error=sentence, readings=counts)
    decisions = failed_decisions(len(inputs.ids), Reason.SHARD_FAILED)
    folder.objects.put(
        folder.results_key(round_, shard.number, form=batch.results),
        encode_results(batch.results, inputs, decisions),
    )
    if inputs.unreadable:
        lines = encode_unreadable(inputs.unreadable, folder.plan().files)
        folder.save_lines("unreadable", round_, shard.number, lines)
    rows = np.arange(len(inputs.ids))
    folder.save_lines(
        "failed", round_, shard.number, encode_measurements(inputs, rows, batch.profile)
    )
    return Report(
        step="filter",
        round=round_,
        number=shard.number,
        error=sentence,
        readings=count_decisions(decisions, inputs.unreadable),
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
    """Record that a shard's write step has failed, and look up which states it had written.

    Without a store that is unknown, and every changed user counts as unknown and failed. For
    `bucket` see `fail_shard`.

    Raises:
        StoreUnavailable: The table did not answer before the deadline.
    """
    report = Report(step="write", round=round_, number=shard.number, error=sentence)
    filtered = folder.report(round_, "filter", shard.number)
    if filtered is None or filtered.error:
        return report
    batch = folder.batch()
    try:
        changes = folder.changes(round_, shard.number)
    except _UNREADABLE:
        # The write step could not read the changes either, so it has written nothing.
        inputs = _readings(folder, shard, folder.users(round_, shard.number), bucket)
        fail_users(folder, report, shard, dict.fromkeys(inputs.users, Reason.SHARD_FAILED), bucket)
        return report
    stored: set[str] = set()
    if store is not None:
        stored = store.find_written(
            batch.profile.name,
            changes,
            batch=batch.batch_id,
            attempt=batch.attempt,
            round_=round_,
            deadline=deadline,
        )
    failed = {change.user for change in changes} - stored
    report.written = len(stored)
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
    """Give some users of a filtered shard `failed` results that replace their others.

    Subtract these users, and those of the next round, from what the filter step has counted: the
    report's `superseded` holds what no longer counts. For `bucket` see `fail_shard`.
    """
    again = set(report.conflicts) - set(reasons)
    if not reasons and not again:
        return
    batch = folder.batch()
    _supersede(folder, report, again.union(reasons), batch.results)
    if not reasons:
        return
    inputs = _readings(folder, shard, set(reasons), bucket)._replace(unreadable=[])
    decisions = _decisions(inputs, reasons)
    folder.objects.put(
        folder.results_key(report.round, shard.number, failed=True, form=batch.results),
        encode_results(batch.results, inputs, decisions),
    )
    rows = np.arange(len(inputs.ids))
    name = report.number
    previous = _existing(folder, report, set(reasons))
    folder.save_lines(
        "failed",
        report.round,
        name,
        previous + encode_measurements(inputs, rows, batch.profile),
    )
    report.failed_users = len(reasons)
    report.conflicts = sorted(again)
    report.readings = count_decisions(decisions, [])


def _readings(
    folder: Folder, shard: Shard, users: set[str] | None, bucket: OpenBucket | None
) -> ShardInput:
    """Read a shard's readings. If the batch's copy is lost, restore it from the input."""
    profile = folder.batch().profile
    try:
        return Partitions(folder).shard_input(shard, profile, users)
    except _UNREADABLE:
        if bucket is None:
            raise
        restore(folder, shard, bucket)
        return Partitions(folder).shard_input(shard, profile, users)


def _decisions(inputs: ShardInput, reasons: Mapping[str, Reason]) -> Decisions:
    decisions = failed_decisions(len(inputs.ids), Reason.SHARD_FAILED)
    reason_of_user = np.array([reasons[name] for name in inputs.users], np.uint8)
    return decisions._replace(reason=reason_of_user[inputs.readings.user])


def _existing(folder: Folder, report: Report, users: set[str]) -> bytes:
    """Read the lines that the filter step has stored for users other than these."""
    lines = folder.lines("failed", report.round, report.number).splitlines(keepends=True)
    decode = msgspec.json.Decoder(dict[str, object]).decode
    return b"".join(line for line in lines if decode(line)["user_id"] not in users)


def _supersede(folder: Folder, report: Report, users: set[str], form: Form) -> None:
    superseded = report.superseded = Tally()
    decode = msgspec.json.Decoder(_Line).decode
    key = folder.results_key(report.round, report.number, form=form)
    for line in result_lines(folder.objects, key):
        result = decode(line)
        # The result of an unreadable record depends on no state, so it is never superseded.
        if result.user_id in users and result.status != Status.UNREADABLE.label:
            superseded[decision(result.status, result.reason)] += 1
            if result.status == Status.ACCEPTED.label and result.quality is not None:
                report.quality_sum -= result.quality
                report.quality_count -= 1
