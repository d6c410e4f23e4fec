"""Result lines: one per measurement, sorted by index in each shard's file."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalmap.filter.cohort import Revisions
from kalmap.filter.decisions import Decisions
from kalmap.moments import DAY, SECOND
from kalmap.outcome import Reason, Status
from kalmap.profile import Profile
from kalmap.readings import I64
from kalmap.records.shards import IndexedUnreadable, ShardInput
from kalmap.results.tally import Tally
from kalmap.results.unreadable import Unreadable

_LINES_PER_BLOCK = 8192
STATUS_LABELS = {int(status): status.label for status in Status}
REASON_LABELS = {int(reason): reason.label for reason in Reason}
#: Characters of a time without a fraction: 2026-03-01T07:12:00Z.
_CHARACTERS = 20


class Result(msgspec.Struct, gc=False):
    """The outcome of one measurement; estimates are null if it was never folded."""

    index: int
    """The first field: `results.merge` reads it from the line's beginning."""
    user_id: str | None
    measurement_id: str | None
    timestamp: str | None
    value: float | None
    status: str
    reason: str | None
    level: float | None = None
    level_sd: float | None = None
    slope: float | None = None
    predicted: float | None = None
    innovation: float | None = None
    nis: float | None = None
    quality: float | None = None
    restarted: bool = False
    """Whether the filter restarted at this reading's level."""


_encoder = msgspec.json.Encoder()


def _table(labels: Mapping[int, str | None]) -> NDArray[np.object_]:
    """Labels by their codes."""
    table = np.empty(256, object)
    table[list(labels)] = list(labels.values())
    return table


_STATUSES, _REASONS = _table(STATUS_LABELS), _table(REASON_LABELS)


def encode(shard: ShardInput, decisions: Decisions, rows: NDArray[np.intp] | None = None) -> bytes:
    """Encode the result lines of a shard, sorted by index.

    Args:
        shard: The readings, and the records that could not be read.
        decisions: The decisions, aligned with the readings.
        rows: Encode only these readings, and no unreadable records; None for all.
    """
    chosen = np.arange(len(shard.readings.index)) if rows is None else rows
    unreadable = shard.unreadable if rows is None else []
    index = np.concatenate(
        [
            shard.readings.index[chosen],
            np.array([record.index for record in unreadable], np.int64),
        ]
    )
    source = np.concatenate([chosen, -1 - np.arange(len(unreadable))])
    order = source[np.argsort(index, kind="stable")]
    users = np.array(shard.users, object)
    blocks = []
    for start in range(0, len(order), _LINES_PER_BLOCK):
        block = order[start : start + _LINES_PER_BLOCK]
        lines = _lines(shard, users, decisions, block[block >= 0])
        if (block < 0).any():
            lines += [unreadable_result(shard.unreadable[-1 - row]) for row in block[block < 0]]
            lines.sort(key=lambda line: line.index)
        blocks.append(_encoder.encode_lines(lines))
    return b"".join(blocks)


def _lines(
    shard: ShardInput, users: NDArray[np.object_], decisions: Decisions, rows: NDArray[np.intp]
) -> list[Result]:
    readings = shard.readings
    return list(
        map(
            Result,
            readings.index[rows].tolist(),
            users[readings.user[rows]].tolist(),
            [shard.ids[row] for row in rows.tolist()],
            iso_timestamps(readings.time[rows]),
            readings.value[rows].tolist(),
            _STATUSES[decisions.status[rows]].tolist(),
            _REASONS[decisions.reason[rows]].tolist(),
            *(column[rows].tolist() for column in decisions.reported),
            decisions.restarted[rows].tolist(),
        )
    )


def unreadable_result(unreadable: IndexedUnreadable) -> Result:
    """The result of a record that could not be read."""
    record = unreadable.record
    return Result(
        index=unreadable.index,
        user_id=record.user_id,
        measurement_id=record.measurement_id,
        timestamp=None,
        value=None,
        status=_status_without_reading(record.reason).label,
        reason=REASON_LABELS[record.reason],
    )


def _status_without_reading(reason: Reason) -> Status:
    """The status of a record without a reading: it is unreadable, or its chunk has failed."""
    failed = reason in {Reason.SHARD_FAILED, Reason.TIMED_OUT}
    return Status.FAILED if failed else Status.UNREADABLE


def iso_timestamps(time: I64) -> list[str]:
    """Format times in ISO 8601 in UTC, with microseconds only if they are not zero.

    Args:
        time: Microseconds since 1970 UTC, shape (n,).
    """
    seconds, microseconds = np.divmod(time, SECOND)
    days, second = np.divmod(seconds, DAY // SECOND)
    # A batch has few days. Each is formatted once, which is several times faster.
    distinct, day = np.unique(days, return_inverse=True)
    dates = np.datetime_as_string(distinct.astype("M8[D]")).astype("U10").view(np.uint32)
    points = np.empty((len(time), _CHARACTERS), np.uint32)
    points[:] = [ord(character) for character in "0000-00-00T00:00:00Z"]
    points[:, :10] = dates.reshape(-1, 10)[day]
    for place, number in ((11, second // 3600), (14, second // 60 % 60), (17, second % 60)):
        tens = number // 10
        points[:, place] += tens.astype(np.uint32)
        points[:, place + 1] += (number - 10 * tens).astype(np.uint32)
    texts: list[str] = points.view(f"U{_CHARACTERS}").ravel().tolist()
    for row in np.flatnonzero(microseconds).tolist():
        texts[row] = f"{texts[row][:-1]}.{int(microseconds[row]):06d}Z"
    return texts


def encode_unreadable(
    unreadable: Sequence[IndexedUnreadable], files: Sequence[Sequence[str]]
) -> bytes:
    """Encode the lines of the file of unreadable records.

    Args:
        unreadable: The records that could not be read.
        files: The names of each chunk's objects.
    """
    return _encoder.encode_lines(
        [
            Unreadable(
                index=record.index,
                file=files[record.chunk][record.record.file],
                line=record.line,
                reason=REASON_LABELS[record.record.reason],
                detail=record.record.detail,
                excerpt=record.record.excerpt,
            )
            for record in sorted(unreadable, key=lambda record: record.index)
        ]
    )


def encode_measurements(shard: ShardInput, rows: NDArray[np.intp], profile: Profile) -> bytes:
    """Encode readings as measurements, so that they can be run again with the same keys."""
    readings = shard.readings
    times = iso_timestamps(readings.time[rows])
    return _encoder.encode_lines(
        [
            {
                "user_id": shard.users[readings.user[row]],
                "timestamp": time,
                "value": float(readings.value[row]),
                "unit": profile.unit,
                "source": shard.sources[row],
                "measurement_id": shard.ids[row],
            }
            for row, time in zip(rows.tolist(), times, strict=True)
        ]
    )


def encode_revisions(users: Sequence[str], revisions: Revisions) -> bytes:
    """Encode the stored readings whose decision a late reading has changed.

    Args:
        users: The users' ids; `revisions.user` holds positions in it.
        revisions: The revisions of a fold.
    """
    return _encoder.encode_lines(
        [
            {
                "user_id": users[user],
                "timestamp": timestamp,
                "value": value,
                "old_status": STATUS_LABELS[old_status],
                "old_reason": REASON_LABELS[old_reason],
                "new_status": STATUS_LABELS[new_status],
                "new_reason": REASON_LABELS[new_reason],
            }
            for user, timestamp, value, old_status, old_reason, new_status, new_reason in zip(
                revisions.user.tolist(),
                iso_timestamps(revisions.time),
                revisions.value.tolist(),
                revisions.old_status.tolist(),
                revisions.old_reason.tolist(),
                revisions.new_status.tolist(),
                revisions.new_reason.tolist(),
                strict=True,
            )
        ]
    )


def count_decisions(decisions: Decisions, unreadable: Sequence[IndexedUnreadable]) -> Tally:
    """Count readings, and records that could not be read, by status and reason."""
    pairs, numbers = np.unique(
        decisions.status.astype(np.int64) * 256 + decisions.reason, return_counts=True
    )
    tally = Tally(
        {
            (Status(pair >> 8), Reason(pair & 255)): number
            for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True)
        }
    )
    tally.update(
        (_status_without_reading(record.record.reason), Reason(record.record.reason))
        for record in unreadable
    )
    return tally
