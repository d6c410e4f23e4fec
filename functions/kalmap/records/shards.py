"""Shards: sets of users chosen by hash. A partition has a slice of readings for each shard."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalmap.profile import Profile
from kalmap.readings import I64, Readings
from kalmap.records.measurement import UnreadableRecord
from kalmap.records.parse import Parsed
from kalmap.records.runs import Run
from kalmap.records.share import Share

#: The location of a shard's slice in a chunk's partition: one for each chunk and shard.
SLICE_LOCATION = np.dtype([("chunk", "<u4"), ("offset", "<u4"), ("length", "<u4")])
#: Records before a chunk, and lines of its object before it. They are added to the numbers of its
#: records and lines.
CHUNK_START = np.dtype([("index", "<i8"), ("line", "<i8")])


class Slice(msgspec.Struct, array_like=True):
    """A chunk's readings that belong to one shard, as little-endian columns."""

    users: list[str]
    sources: list[str | None]
    user: bytes
    time: bytes
    value: bytes
    source: bytes
    tag: bytes
    hash: bytes
    ordinal: bytes
    ids: list[str | None] | None
    unreadable: list[UnreadableRecord]


class PartitionReport(msgspec.Struct):
    """What a chunk holds: record and line counts, and the bytes and readings of each slice."""

    chunk: int
    records: int
    lines: int
    lengths: list[int]
    counts: list[int]
    error: str | None = None
    """Why the chunk could not be read, after every retry."""
    notes: list[str] = []
    """Sentences about what was ignored."""
    runs: list[Run] = []
    """Where its records were. Empty in reports of earlier versions."""
    left_out: int = 0
    """Records of users who are not in the batch's share."""


class IndexedUnreadable(NamedTuple):
    """An unreadable record with its position in the batch's whole input."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which is not used
    chunk: int
    line: int
    record: UnreadableRecord


class ShardInput(NamedTuple):
    """All readings of a shard's users, in the input's order."""

    users: list[str]
    readings: Readings
    ids: list[str | None]
    """Measurement ids, aligned with the readings."""
    sources: list[str | None]
    """Source names, aligned with the readings."""
    unreadable: list[IndexedUnreadable]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Slice)


def shard_of(user_id: str, shards: int) -> int:
    """Return a user's shard: the same on every machine and for every chunk."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, person=b"kalmap-shard").digest()
    return int.from_bytes(digest, "little") % shards


def of_share(parsed: Parsed, share: Share) -> tuple[Parsed, int]:
    """Leave out the readings of users who are not in a share.

    All records keep their positions in the input.

    Returns:
        The records of the share, and how many were left out.
    """
    chosen = np.array([share.has(name) for name in parsed.users], np.bool_)
    rows = np.flatnonzero(chosen[parsed.user]) if len(parsed.user) else np.empty(0, np.intp)
    unreadable = [record for record in parsed.unreadable if share.has(record.user_id)]
    kept = parsed._replace(
        user=parsed.user[rows],
        time=parsed.time[rows],
        value=parsed.value[rows],
        source=parsed.source[rows],
        tag=parsed.tag[rows],
        hash=parsed.hash[rows],
        ordinal=parsed.ordinal[rows],
        ids=[parsed.ids[row] for row in rows.tolist()] if parsed.ids else None,
        unreadable=unreadable,
    )
    return kept, parsed.records - len(rows) - len(unreadable)


def route(parsed: Parsed, chunk: int, shards: int) -> tuple[bytes, PartitionReport]:
    """Cut a chunk's readings into one slice per shard.

    An unreadable record goes to a shard too. There it gets its index and line number in the whole
    input, which are known only when all chunks have been counted.

    Returns:
        The concatenated slices, and the report with the length of each.
    """
    shard_of_user = np.array([shard_of(name, shards) for name in parsed.users], np.int64)
    shard = shard_of_user[parsed.user] if len(parsed.user) else np.empty(0, np.int64)
    order = np.argsort(shard, kind="stable")
    bounds = np.searchsorted(shard[order], np.arange(shards + 1))
    unreadable: dict[int, list[UnreadableRecord]] = {}
    for record in parsed.unreadable:
        unreadable.setdefault(record.ordinal % shards, []).append(record)
    slices: list[bytes] = []
    counts: list[int] = []
    for number in range(shards):
        rows = order[bounds[number] : bounds[number + 1]]
        own = unreadable.get(number, [])
        counts.append(len(rows) + len(own))
        slices.append(_encoder.encode(_slice(parsed, rows, own)) if counts[-1] else b"")
    report = PartitionReport(chunk, parsed.records, parsed.lines, [len(s) for s in slices], counts)
    report.runs = parsed.runs
    return b"".join(slices), report


def _slice(parsed: Parsed, rows: NDArray[np.intp], unreadable: list[UnreadableRecord]) -> Slice:
    users, user = np.unique(parsed.user[rows], return_inverse=True)
    sources, source = np.unique(parsed.source[rows], return_inverse=True)
    return Slice(
        users=[parsed.users[code] for code in users.tolist()],
        sources=[parsed.sources[code] for code in sources.tolist()],
        user=user.astype("<i4").tobytes(),
        time=parsed.time[rows].astype("<i8").tobytes(),
        value=parsed.value[rows].astype("<f8").tobytes(),
        source=source.astype("<i4").tobytes(),
        tag=parsed.tag[rows].tobytes(),
        hash=parsed.hash[rows].astype("<u8").tobytes(),
        ordinal=parsed.ordinal[rows].astype("<i8").tobytes(),
        ids=[parsed.ids[row] for row in rows.tolist()] if parsed.ids else None,
        unreadable=unreadable,
    )


def users_in_slice(data: bytes) -> tuple[list[str], list[UnreadableRecord]]:
    """The users whose readings a slice has, and its records that could not be read."""
    part = _decoder.decode(data)
    return part.users, part.unreadable


def chunk_starts(records: Sequence[int], first_lines: Sequence[int]) -> bytes:
    """Compute where each chunk begins in the batch's input: one `CHUNK_START` a chunk.

    Args:
        records: The number of records of each chunk, in the input's order.
        first_lines: Lines of the object before each chunk.
    """
    starts = np.zeros(len(records), CHUNK_START)
    starts["index"][1:] = np.cumsum(np.asarray(records, np.int64))[:-1]
    starts["line"] = first_lines
    return starts.tobytes()


def slice_locations(lengths: NDArray[np.uint32]) -> tuple[bytearray, list[int]]:
    """Compute the locations of all slices, shard after shard, and the end of each shard's part.

    Args:
        lengths: The length of each slice in bytes, of shape (chunks, shards).
    """
    bounds = np.concatenate([[0], np.cumsum(np.count_nonzero(lengths, axis=0))])
    # Of shape (chunks, shards) like the lengths; a partition is smaller than 4 GB.
    offsets = np.cumsum(lengths, axis=1, dtype=np.uint32) - lengths
    data = bytearray(int(bounds[-1]) * SLICE_LOCATION.itemsize)
    table = np.frombuffer(data, SLICE_LOCATION)
    for shard in range(lengths.shape[1]):
        rows = table[bounds[shard] : bounds[shard + 1]]
        chunks = np.flatnonzero(lengths[:, shard])
        rows["chunk"] = chunks
        rows["offset"] = offsets[chunks, shard]
        rows["length"] = lengths[chunks, shard]
    return data, (bounds[1:] * SLICE_LOCATION.itemsize).tolist()


def assemble(
    slices: Sequence[tuple[int, int, int, bytes]],
    profile: Profile,
    only_users: set[str] | None = None,
) -> ShardInput:
    """Join a shard's slices.

    Args:
        slices: Each is a chunk, the index of its first record, the lines before it, and the
            encoded slice.
        profile: The profile that has the sources' codes.
        only_users: In a conflict round, the users whose state another batch has changed.
    """
    users: dict[str, int] = {}
    columns: list[Readings] = []
    ids: list[str | None] = []
    sources: list[str | None] = []
    unreadable: list[IndexedUnreadable] = []
    for chunk, first_index, first_line, data in slices:
        part = _decoder.decode(data)
        user, rows = _shared_codes(part, users, only_users)
        source = np.frombuffer(part.source, "<i4")[rows]
        codes = np.array([profile.source_code(name) for name in part.sources], np.uint8)
        columns.append(
            Readings(
                user=user,
                time=np.frombuffer(part.time, "<i8")[rows],
                value=np.frombuffer(part.value, "<f8")[rows],
                source=codes[source] if len(source) else np.empty(0, np.uint8),
                tag=np.frombuffer(part.tag, np.uint8)[rows],
                hash=np.frombuffer(part.hash, "<u8")[rows],
                index=np.frombuffer(part.ordinal, "<i8")[rows] + first_index,
            )
        )
        ids += [part.ids[row] for row in rows.tolist()] if part.ids else [None] * len(rows)
        sources += [part.sources[code] for code in source.tolist()]
        if only_users is None:
            unreadable += [
                IndexedUnreadable(
                    record.ordinal + first_index, chunk, record.line + first_line, record
                )
                for record in part.unreadable
            ]
    readings = Readings(*(np.concatenate(column) for column in zip(*columns, strict=True)))
    return ShardInput(list(users), readings, ids, sources, unreadable)


def _shared_codes(
    part: Slice, users: dict[str, int], only_users: set[str] | None
) -> tuple[NDArray[np.int32], I64]:
    """Return a slice's user column in the codes that all slices share, and the selected rows."""
    for name in part.users:
        if only_users is None or name in only_users:
            users.setdefault(name, len(users))
    shared = np.array([users.get(name, -1) for name in part.users], np.int32)
    local = np.frombuffer(part.user, "<i4")
    column = shared[local] if len(local) else np.empty(0, np.int32)
    rows = np.flatnonzero(column >= 0)
    return column[rows], rows
