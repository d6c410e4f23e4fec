"""A batch's readings as columns: of all shards, or of as many as a report can draw."""

import zlib
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalmap import keys
from kalmap.batch.folder import Folder, Shard
from kalmap.outcome import Status
from kalmap.readings import F64, I64, Bool
from kalmap.results.merge import merge

#: Readings that a report draws from, so that it is written in seconds. A shard is a set of users
#: chosen by hash, so some of the shards are a random sample of the users.
MOST_READINGS = 300_000
_NEWLINE = b"\n"
_UNREADABLE = Status.UNREADABLE.label


class _Line(msgspec.Struct, gc=False):
    """The fields of a result line that a report uses."""

    index: int
    status: str
    user_id: str | None = None
    timestamp: str | None = None
    value: float | None = None
    reason: str | None = None
    level: float | None = None
    level_sd: float | None = None
    innovation: float | None = None
    nis: float | None = None
    quality: float | None = None
    restarted: bool = False


_NUMBERS = ("value", "level", "level_sd", "innovation", "nis", "quality")
#: A line as a tuple, which is faster than to ask for one field at a time.
_FIELDS = attrgetter("user_id", "index", "timestamp", "status", "reason", "restarted", *_NUMBERS)


class Sample(NamedTuple):
    """Readings of users, a column a field; (readings,) each. NaN stands for a missing number."""

    users: list[str]
    user: NDArray[np.int32]
    """Position in `users`; -1 for a record that could not be read or has no user."""
    position: I64
    """Position in the batch's input, from 0."""
    time: NDArray[np.datetime64]
    """UTC; NaT for a record without a time."""
    decision: NDArray[np.uint8]
    """Position in `decisions`."""
    decisions: list[tuple[str, str | None]]
    """Status and reason."""
    restarted: Bool
    numbers: dict[str, F64]
    """The columns of numbers by their names in a result line."""
    shards: list[int]
    """The numbers of the shards that were read."""
    all_shards: int
    one_user_in: int
    """Of the shards that were read, one user in so many; 1 for all."""

    @property
    def is_whole(self) -> bool:
        """Whether it has all readings of the batch."""
        return len(self.shards) == self.all_shards and self.one_user_in == 1

    @property
    def part(self) -> str:
        """How much of the batch it is, in a sentence; empty if it is all."""
        if self.is_whole:
            return ""
        part = f"{len(self.shards):,} of {self.all_shards:,} shards"
        if self.one_user_in > 1:
            part += f", and one user in {self.one_user_in} of theirs"
        return f"This is a sample: {part}, {self.position.size:,} readings."

    def of_status(self, status: str) -> Bool:
        """Which readings have this status."""
        codes = [code for code, (one, _) in enumerate(self.decisions) if one == status]
        return np.isin(self.decision, codes)

    def readings_of(self, user: int) -> I64:
        """The positions of a user's readings, in order of time."""
        rows = np.flatnonzero(self.user == user)
        return rows[np.argsort(self.time[rows], kind="stable")]


class _Columns:
    """Columns that grow by a block of lines at a time."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._decisions: dict[tuple[str, str | None], int] = {}
        self._blocks: list[tuple[NDArray[np.generic], ...]] = []

    def add(self, lines: list[_Line]) -> None:
        """Add a block."""
        if not lines:
            return
        columns = zip(*map(_FIELDS, lines), strict=True)
        names, indexes, times, statuses, reasons, restarted, *numbers = columns
        users, decisions = self._users, self._decisions
        self._blocks.append(
            (
                np.array(
                    [
                        -1
                        if name is None or status == _UNREADABLE
                        else users.setdefault(name, len(users))
                        for name, status in zip(names, statuses, strict=True)
                    ],
                    np.int32,
                ),
                np.array(indexes, np.int64),
                # numpy reads no "Z"; every time of a result is in UTC.
                np.array(
                    ["NaT" if time is None else time[:-1] for time in times], "datetime64[us]"
                ),
                np.array(
                    [
                        decisions.setdefault(pair, len(decisions))
                        for pair in zip(statuses, reasons, strict=True)
                    ],
                    np.uint8,
                ),
                np.array(restarted, np.bool_),
                *(np.array(column, np.float64) for column in numbers),
            )
        )

    def finish(self, shards: list[int], all_shards: int, one_user_in: int) -> Sample:
        """All blocks together."""
        columns = [np.concatenate(column) for column in zip(_NOTHING, *self._blocks, strict=True)]
        user, position, time, decision, restarted, *numbers = columns
        return Sample(
            list(self._users),
            user,
            position,
            time,
            decision,
            list(self._decisions),
            restarted,
            dict(zip(_NUMBERS, numbers, strict=True)),
            shards,
            all_shards,
            one_user_in,
        )


#: A block without lines, so that the columns of an empty batch have their types.
_NOTHING = tuple(
    np.empty(0, kind)
    for kind in (
        np.int32, np.int64, "datetime64[us]", np.uint8, np.bool_, *(np.float64 for _ in _NUMBERS),
    )
)  # fmt: skip


class _Shards(NamedTuple):
    """The shards that are read, and one user in how many of theirs."""

    numbers: list[int]
    one_user_in: int

    @classmethod
    def choose(cls, shards: list[Shard], most: int) -> Self:
        """Choose the first shards whose readings are at most `most` in all, and at least one."""
        chosen: list[int] = []
        readings = 0
        for shard in shards:
            if chosen and readings + shard.readings > most:
                break
            chosen.append(shard.number)
            readings += shard.readings
        return cls(chosen, -(-readings // most) if readings else 1)


def read_sample(folder: Folder, most: int = MOST_READINGS) -> Sample | None:
    """Read the results of a batch, or of some of its users.

    Args:
        folder: The batch's.
        most: Readings to read, about.

    Returns:
        The readings; None if the batch ended before it had any results.
    """
    if not folder.has_shards(0):
        return None
    shards = folder.shards(0)
    chosen = _Shards.choose(shards, most)
    files_of: dict[int, dict[str, dict[str, Any]]] = {number: {} for number in chosen.numbers}
    for round_ in range(folder.rounds()):
        for item in folder.objects.listing(folder.key(keys.results_folder(round_))):
            file = keys.results_file(item["Key"])
            if file is not None and file.shard in files_of:
                files_of[file.shard][item["Key"]] = item
    columns = _Columns()
    for files in files_of.values():
        for block in _blocks(folder, files):
            lines = msgspec.json.Decoder(_Line).decode_lines(block)
            if chosen.one_user_in > 1:
                lines = [line for line in lines if _is_drawn(line.user_id, chosen.one_user_in)]
            columns.add(lines)
    return columns.finish(chosen.numbers, len(shards), chosen.one_user_in)


def _is_drawn(user: str | None, one_user_in: int) -> bool:
    return zlib.crc32((user or "").encode()) % one_user_in == 0


def _blocks(folder: Folder, files: dict[str, dict[str, Any]]) -> Iterator[bytes]:
    """The result lines of one shard, about a megabyte at a time."""
    forms = {file.form for key in files if (file := keys.results_file(key))}
    if len(files) > 1 or "parquet" in forms:
        # Another round, or failed lines, replace some lines of the first file.
        yield _NEWLINE.join(merge(folder.objects, files))
        return
    for key, item in files.items():
        if not item["Size"]:
            # Its only user was forgotten. A range of nothing is refused.
            continue
        rest = b""
        for part in folder.objects.stream_pinned(key, item["ETag"], None, 0, int(item["Size"])):
            whole, newline, rest = (rest + part).rpartition(_NEWLINE)
            if newline:
                yield whole
        if rest:
            yield rest
