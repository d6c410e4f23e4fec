"""Whole lines of JSONL or CSV in, columns of valid readings and the unreadable ones out."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap import units
from kalmap.errors import InvalidInput
from kalmap.moments import EARLIEST, LATEST, microseconds
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, I32, I64, U8, U64
from kalmap.records.blocks import blocks, is_a_line_each, is_text, may_hold_a_long_line
from kalmap.records.measurement import (
    MAX_ID_BYTES,
    MAX_LINE_BYTES,
    MAX_UNREAD,
    OPTIONAL_FIELDS,
    REQUIRED_FIELDS,
    Measurement,
    Unread,
    Unreadable,
    csv_record,
    json_record,
    measurement_of,
    unread,
)
from kalmap.records.timestamps import OUT_OF_CALENDAR

#: Below this many seconds from 1970 a float64 of seconds still tells microseconds apart.
_EXACT_SECONDS = 4.0e9
# SplitMix64's constants (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195).
_SPLITMIX_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_SPLITMIX_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Parsed(NamedTuple):
    """What a chunk's bytes hold; arrays have shape (valid readings,)."""

    users: list[str]
    sources: list[str | None]
    user: I32
    time: I64
    value: F64
    source: I32
    """Position in `sources`."""
    tag: U8
    hash: U64
    ordinal: I64
    """0-based place among the chunk's records, valid or not."""
    ids: list[str | None] | None
    """Measurement ids; None where no reading has one."""
    unread: list[Unread]
    records: int
    lines: int


class File(NamedTuple):
    """Whole lines of one object."""

    parts: Iterable[bytes]
    """Their bytes, cut anywhere."""
    columns: Sequence[str] | None
    """The CSV's column names; None for JSONL."""
    first_line: int = 0
    """Lines of the object before them."""


_decoder = msgspec.json.Decoder(Measurement)


def parse_files(files: Iterable[File], profile: Profile) -> Parsed:
    """Read several objects' lines, one object after the other, as `parse` does."""
    reader = _Reader(profile)
    for number, file in enumerate(files):
        reader.begin(number, file)
        for block in blocks(file.parts):
            reader.read(block)
    return reader.parsed()


def parse(parts: Iterable[bytes], *, columns: Sequence[str] | None, profile: Profile) -> Parsed:
    """Read whole lines of JSONL, or of CSV without its header.

    Args:
        parts: The bytes of whole lines, cut anywhere.
        columns: The CSV's column names; None for JSONL.
        profile: Gives the unit to convert to and the sources.

    Returns:
        Every record exactly once: among the columns, or in `unread`.

    Raises:
        InvalidInput: More records are unreadable than can be kept.
    """
    return parse_files([File(parts, columns)], profile)


class _Columns(NamedTuple):
    """A block's readings; arrays have shape (readings,)."""

    user: I32
    time: I64
    value: F64
    source: I32
    tag: U8
    hash: U64
    ordinal: I64
    ids: list[str | None]


class _Line(NamedTuple):
    """A line that could be read."""

    record: int
    """0-based place among the block's records."""
    number: int
    """Of the line, in its block, from 1."""
    text: bytes
    read: Measurement


class _Reader:
    """Reads block after block; users, units and sources are looked at once each."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._fields: list[str | None] | None = None
        self._file = 0
        self._users: dict[str, int] = {}
        self._ratios: dict[str | None, float] = {None: 1.0}
        self._sources: dict[str | None, int] = {}
        self._source_hashes: list[int] = []
        self._blocks: list[_Columns] = []
        self._unread: list[Unread] = []
        self._records = 0
        self._lines = 0

    def begin(self, number: int, file: File) -> None:
        """Go on to another file; its lines are counted from its beginning."""
        known = REQUIRED_FIELDS + OPTIONAL_FIELDS
        self._file, self._lines, self._fields = number, file.first_line, None
        if file.columns is not None:
            self._fields = [name if name in known else None for name in file.columns]

    def read(self, block: bytes) -> None:
        """Add a block of whole lines."""
        parts, records = self._read_at_once(block) or self._read_line_by_line(block)
        self._blocks += [part._replace(ordinal=part.ordinal + self._records) for part in parts]
        self._records += records
        self._lines += block.count(b"\n") + (not block.endswith(b"\n"))

    def parsed(self) -> Parsed:
        """All that was read."""
        blocks = self._blocks or [self._to_columns([], [])]
        ids = [name for block in blocks for name in block.ids]
        return Parsed(
            users=list(self._users),
            sources=list(self._sources),
            user=np.concatenate([block.user for block in blocks]),
            time=np.concatenate([block.time for block in blocks]),
            value=np.concatenate([block.value for block in blocks]),
            source=np.concatenate([block.source for block in blocks]),
            tag=np.concatenate([block.tag for block in blocks]),
            hash=np.concatenate([block.hash for block in blocks]),
            ordinal=np.concatenate([block.ordinal for block in blocks]),
            ids=ids if any(ids) else None,
            unread=self._unread,
            records=self._records,
            lines=self._lines,
        )

    def _read_at_once(self, block: bytes) -> tuple[list[_Columns], int] | None:
        """A block's columns and records; None where its lines must be read one by one."""
        if self._fields or may_hold_a_long_line(block):
            return None
        try:
            measurements = _decoder.decode_lines(block)
            count = len(measurements)
            if is_text(block) and is_a_line_each(block, count):
                return [self._to_columns(measurements, range(count))], count
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  whatever it is, the lines tell which of them has it
            return None
        return None

    def _to_columns(self, measurements: list[Measurement], places: Sequence[int]) -> _Columns:
        """Columns of a block; what they hold can be routed, folded, stored and told.

        Raises:
            Unreadable: A measurement in it must be refused.
        """
        count = len(measurements)
        names = [m.user_id for m in measurements]
        ids = [m.measurement_id or None for m in measurements]
        unit_names = [m.unit for m in measurements]
        new_users = set(names).difference(self._users)
        _check_ids("user_id", new_users)
        _check_ids("measurement_id", filter(None, ids))
        for unit in set(unit_names):
            self._know_unit(unit)
        value = np.fromiter([m.value for m in measurements], np.float64, count)
        if self._needs_conversion(unit_names):
            with np.errstate(over="ignore"):
                value *= np.fromiter([self._ratios[u] for u in unit_names], np.float64, count)
        _check_finite(np.isfinite(value).all())
        time = _microseconds([m.timestamp for m in measurements])
        if count and not EARLIEST <= time.min() <= time.max() <= LATEST:
            raise Unreadable(Reason.BAD_TIMESTAMP, OUT_OF_CALENDAR)
        value += 0.0  # makes -0.0 and 0.0 one value, with one key
        for name in dict.fromkeys(names) if new_users else ():
            self._users.setdefault(name, len(self._users))
        source_names = [m.source for m in measurements]
        self._know_sources(source_names)
        source = np.fromiter(map(self._sources.__getitem__, source_names), np.int32, count)
        source_hash = np.array(self._source_hashes, np.uint64)[source]
        hashes = _mix(source_hash ^ value.view(np.uint64))
        tag = np.zeros(count, np.uint8)
        tagged = [place for place, name in enumerate(ids) if name]
        if tagged:
            tag[tagged] = 1
            hashes[tagged] = [_hash64(name) for name in ids if name]
        return _Columns(
            user=np.fromiter(map(self._users.__getitem__, names), np.int32, count),
            time=time,
            value=value,
            source=source,
            tag=tag,
            hash=hashes,
            ordinal=np.array(places, np.int64),
            ids=ids,
        )

    def _know_unit(self, unit: str | None) -> None:
        if unit in self._ratios:
            return
        ratio = units.ratio(unit or "", self._profile.unit)
        if not ratio:
            raise Unreadable(
                Reason.UNKNOWN_UNIT,
                f"unit {(unit or '')[:20]!r} cannot be converted to "
                f"{self._profile.unit}, the unit of the profile {self._profile.name}.",
            )
        self._ratios[unit] = ratio

    def _needs_conversion(self, unit_names: list[str | None]) -> bool:
        return any(self._ratios[unit] != 1.0 for unit in set(unit_names))

    def _know_sources(self, names: list[str | None]) -> None:
        if self._sources.keys() >= set(names):
            return
        for name in dict.fromkeys(names):
            if name not in self._sources:
                self._sources[name] = len(self._sources)
                self._source_hashes.append(_hash64(name or ""))

    def _read_line_by_line(self, block: bytes) -> tuple[list[_Columns], int]:
        """A block's columns and records; the unreadable ones are kept."""
        if block.isspace():
            return [], 0
        good: list[_Line] = []
        record = 0
        for number, text in enumerate(block.split(b"\n"), start=1):
            if not text or text.isspace():
                continue
            try:
                good.append(_Line(record, number, text, self._read_line(text)))
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  the boundary that isolates a record
                self._refuse(record, number, text, error)
            record += 1
        return list(self._isolated(good)), record

    def _isolated(self, lines: list[_Line]) -> Iterator[_Columns]:
        """Columns of lines that have passed every check.

        Should something raise all the same, their halves' columns, down to the line that does.
        """
        try:
            yield self._to_columns([line.read for line in lines], [line.record for line in lines])
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  the boundary that isolates a record
            if len(lines) == 1:
                self._refuse(*lines[0][:3], error)
                return
            middle = len(lines) // 2
            yield from self._isolated(lines[:middle])
            yield from self._isolated(lines[middle:])

    def _refuse(self, record: int, number: int, text: bytes, error: Exception) -> None:
        if not isinstance(error, Unreadable):
            error = Unreadable(
                Reason.MALFORMED, f"The record cannot be read ({type(error).__name__})."
            )
        if len(self._unread) >= MAX_UNREAD:
            raise InvalidInput(
                f"More than {MAX_UNREAD:,} records of one part of the input cannot be read. The "
                f"first of them: {self._unread[0].detail}"
            )
        found = unread(self._records + record, self._lines + number, error, text)
        found.file = self._file
        self._unread.append(found)

    def _read_line(self, line: bytes) -> Measurement:
        if len(line) > MAX_LINE_BYTES:
            raise Unreadable(
                Reason.MALFORMED,
                f"The line has {len(line):,} bytes; at most {MAX_LINE_BYTES:,} are read.",
            )
        record = csv_record(line, self._fields) if self._fields else json_record(line)
        try:
            measurement = measurement_of(record)
            _check_ids("user_id", [measurement.user_id])
            _check_ids("measurement_id", filter(None, [measurement.measurement_id]))
            self._know_unit(measurement.unit)
            _check_finite(math.isfinite(measurement.value * self._ratios[measurement.unit]))
        except Unreadable as error:
            error.record = record
            raise
        return measurement


def _check_ids(field: str, names: Iterable[str]) -> None:
    for name in names:
        if len(name) > MAX_ID_BYTES or (not name.isascii() and len(name.encode()) > MAX_ID_BYTES):
            raise Unreadable(Reason.MALFORMED, f"{field} is longer than {MAX_ID_BYTES} bytes.")
        if not name or not name.isprintable():
            raise Unreadable(Reason.MALFORMED, f"{field} holds a control character or is empty.")


def _check_finite(finite: object) -> None:
    if not finite:
        raise Unreadable(Reason.BAD_VALUE, "value is not finite.")


def _microseconds(times: list[datetime]) -> I64:
    """Whole microseconds since 1970, exact at any date."""
    seconds = np.fromiter([time.timestamp() for time in times], np.float64, len(times))
    rounded = np.rint(seconds * 1e6).astype(np.int64)
    for place in np.flatnonzero(np.abs(seconds) > _EXACT_SECONDS):
        rounded[place] = microseconds(times[place])
    return rounded


def _hash64(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mix(bits: U64) -> U64:
    """SplitMix64's output function, elementwise."""
    mixed = bits + _SPLITMIX_INCREMENT
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _SPLITMIX_MULTIPLIERS[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SPLITMIX_MULTIPLIERS[1]
    return mixed ^ (mixed >> np.uint64(31))
