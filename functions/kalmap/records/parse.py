"""Parsing: records of any format in, columns of valid readings and the unreadable records out."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap import units
from kalmap.errors import InvalidInput
from kalmap.moments import EARLIEST, LATEST, SECOND, microseconds
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, I32, I64, U8, U64
from kalmap.records.coded import Coded, CodedReadings
from kalmap.records.formats import Block, Format
from kalmap.records.measurement import (
    MAX_ID_BYTES,
    MAX_UNREADABLE,
    Measurement,
    RecordError,
    UnreadableRecord,
    describe_unreadable,
)
from kalmap.records.runs import Run, Runs
from kalmap.records.table_block import TableBlock
from kalmap.records.timestamps import OUT_OF_CALENDAR

#: Below this many seconds from 1970 a float64 of seconds still tells microseconds apart.
_EXACT_SECONDS = 4.0e9
# SplitMix64's constants (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195).
_SPLITMIX_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_AS_IT_IS = units.Conversion(1.0)
_SPLITMIX_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Parsed(NamedTuple):
    """The records of a chunk. Arrays have shape (valid readings,)."""

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
    """0-based position among the chunk's records, valid or not."""
    ids: list[str | None] | None
    """Measurement ids; None if no reading has one."""
    unreadable: list[UnreadableRecord]
    records: int
    lines: int
    runs: list[Run]
    """Where the records were."""


class File(NamedTuple):
    """Records of one object."""

    parts: Iterable[bytes]
    """Their bytes, cut as the format's `blocks` expects them."""
    format: Format
    first_line: int = 0
    """Lines of the object before them."""


def parse_files(files: Iterable[File], profile: Profile) -> Parsed:
    """Parse the records of several objects, one object after the other.

    Args:
        files: The objects' records.
        profile: The profile whose unit the values are converted to.

    Returns:
        Every record exactly once: among the columns, or in `unreadable`.

    Raises:
        InvalidInput: More than `MAX_UNREADABLE` records are unreadable.
    """
    reader = _Reader(profile)
    for number, file in enumerate(files):
        reader.begin(number, file.first_line)
        for block in file.format.blocks(file.parts):
            reader.read(block)
    return reader.parsed()


def parse(parts: Iterable[bytes], format_: Format, profile: Profile) -> Parsed:
    """Parse the records of one object, as `parse_files` does."""
    return parse_files([File(parts, format_)], profile)


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


class _Record(NamedTuple):
    """A record that passed every check by itself."""

    ordinal: int
    """0-based position among the block's records."""
    line: int
    """Its line in the block, from 1."""
    raw: bytes
    measurement: Measurement


class _Reader:
    """Reads block after block. Users, units and sources are looked up once each."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._file = 0
        self._users: dict[str, int] = {}
        self._conversions: dict[str | None, units.Conversion] = {None: _AS_IT_IS}
        self._sources: dict[str | None, int] = {}
        self._source_hashes: list[int] = []
        self._blocks: list[_Columns] = []
        self._unreadable: list[UnreadableRecord] = []
        self._records = 0
        self._lines = 0
        self._runs = Runs()

    def begin(self, number: int, first_line: int) -> None:
        """Begin another file, and count lines from its `first_line`."""
        self._file, self._lines = number, first_line

    def read(self, block: Block) -> None:
        """Add a block of records."""
        found = (
            self._read_columns(block)
            if isinstance(block, TableBlock)
            else self._read_at_once(block)
        )
        parts, records = found or self._read_one_by_one(
            block, ((ordinal, *record) for ordinal, record in enumerate(block.records()))
        )
        self._blocks += [part._replace(ordinal=part.ordinal + self._records) for part in parts]
        lines = block.lines
        if records == lines:
            self._runs.add(self._records, self._file, self._lines + 1)
        elif records:
            numbers = block.record_lines()
            self._runs.add_lines(self._records, self._file, self._lines, numbers)
        self._records += records
        self._lines += lines

    def parsed(self) -> Parsed:
        """Return everything that was read."""
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
            unreadable=self._unreadable,
            records=self._records,
            lines=self._lines,
            runs=self._runs.runs,
        )

    def _read_at_once(self, block: Block) -> tuple[list[_Columns], int] | None:
        """A block's columns and records; None if its records must be read one by one."""
        try:
            measurements = block.measurements()
            if measurements is None:
                return None
            count = len(measurements)
            return [self._to_columns(measurements, range(count))], count
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  reading one by one finds the record that raises it
            return None

    def _read_columns(self, block: TableBlock) -> tuple[list[_Columns], int] | None:
        """Read a table's rows column by column, and those one by one that need a sentence.

        Returns:
            Columns and records; None if all must be read one by one.
        """
        try:
            plain = block.columns()
            if plain is None:
                return None
            names, codes = plain.readings.units
            if not all(is_known := [self._knows(unit) for unit in names]):
                plain = plain.where(np.array(is_known)[codes])
            count, ordinals = block.count(), block.ordinals()[plain.rows]
            parts = [self._from_codes(plain.readings, ordinals)]
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  reading one by one finds the record that raises it
            return None
        if len(plain.rows) < count:
            parts += self._read_one_by_one(block, block.others(plain))[0]
            if sum(len(part.ordinal) for part in parts) > len(plain.rows):
                parts = [_in_order(parts)]
        return parts, count

    def _knows(self, unit: str | None) -> bool:
        try:
            self._know_unit(unit)
        except RecordError:
            return False
        return True

    def _to_columns(self, measurements: list[Measurement], ordinals: Sequence[int]) -> _Columns:
        """Convert measurements to columns, as `_from_codes` does."""
        return self._from_codes(
            CodedReadings(
                users=Coded.of([m.user_id for m in measurements]),
                units=Coded.of([m.unit for m in measurements]),
                sources=Coded.of([m.source for m in measurements]),
                time=_microseconds([m.timestamp for m in measurements]),
                value=np.fromiter([m.value for m in measurements], np.float64, len(measurements)),
                ids=[m.measurement_id or None for m in measurements],
            ),
            np.array(ordinals, np.int64),
        )

    def _from_codes(self, readings: CodedReadings, ordinals: I64) -> _Columns:
        """Convert to columns whose values can all be routed, folded, stored and reported.

        Raises:
            RecordError: A reading must be refused.
        """
        (names, user), (unit_names, unit), (source_names, source), time, value, ids = readings
        count = len(time)
        _check_ids("user_id", (name or "" for name in names if name not in self._users))
        _check_ids("measurement_id", filter(None, ids))
        for unit_name in unit_names:
            self._know_unit(unit_name)
        conversions = [self._conversions[name] for name in unit_names]
        if any(conversion != _AS_IT_IS for conversion in conversions):
            with np.errstate(over="ignore"):
                value = value * np.array([one.factor for one in conversions], np.float64)[unit]
                value = value + np.array([one.offset for one in conversions], np.float64)[unit]
        _check_finite(np.isfinite(value).all())
        if count and not EARLIEST <= time.min() <= time.max() <= LATEST:
            raise RecordError(Reason.BAD_TIMESTAMP, OUT_OF_CALENDAR)
        value = value + 0.0  # -0.0 becomes 0.0, which has one key
        numbers = [self._users.setdefault(name or "", len(self._users)) for name in names]
        self._know_sources(source_names)
        source = np.array([self._sources[name] for name in source_names], np.int32)[source]
        source_hash = np.array(self._source_hashes, np.uint64)[source]
        hashes = _mix(source_hash ^ value.view(np.uint64))
        tag = np.zeros(count, np.uint8)
        tagged = [row for row, name in enumerate(ids) if name]
        if tagged:
            tag[tagged] = 1
            hashes[tagged] = [_hash64(name) for name in ids if name]
        return _Columns(
            user=np.array(numbers, np.int32)[user],
            time=time,
            value=value,
            source=source,
            tag=tag,
            hash=hashes,
            ordinal=ordinals,
            ids=ids,
        )

    def _know_unit(self, unit: str | None) -> None:
        if unit in self._conversions:
            return
        conversion = units.conversion(unit or "", self._profile.unit)
        if conversion is None:
            raise RecordError(
                Reason.UNKNOWN_UNIT,
                f"unit {(unit or '')[:20]!r} cannot be converted to "
                f"{units.shown(self._profile.unit)}, the unit of the profile {self._profile.name}.",
            )
        self._conversions[unit] = conversion

    def _know_sources(self, names: Sequence[str | None]) -> None:
        for name in names:
            if name not in self._sources:
                self._sources[name] = len(self._sources)
                self._source_hashes.append(_hash64(name or ""))

    def _read_one_by_one(
        self, block: Block, records: Iterable[tuple[int, int, bytes]]
    ) -> tuple[list[_Columns], int]:
        """Some records' columns and number; unreadable ones are added to the list of them."""
        valid: list[_Record] = []
        count = 0
        for ordinal, line, raw in records:
            count += 1
            try:
                valid.append(_Record(ordinal, line, raw, self._checked(block.measurement(raw))))
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  the boundary that isolates a record
                self._refuse(ordinal, line, raw, error)
        return list(self._isolated(valid)), count

    def _isolated(self, records: list[_Record]) -> Iterator[_Columns]:
        """Columns of records that have passed every check.

        If converting them raises an error, they are halved until a record that raises it is alone.
        """
        try:
            yield self._to_columns(
                [record.measurement for record in records], [record.ordinal for record in records]
            )
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  the boundary that isolates a record
            if len(records) == 1:
                self._refuse(*records[0][:3], error)
                return
            middle = len(records) // 2
            yield from self._isolated(records[:middle])
            yield from self._isolated(records[middle:])

    def _refuse(self, ordinal: int, line: int, raw: bytes, error: Exception) -> None:
        if not isinstance(error, RecordError):
            error = RecordError(
                Reason.MALFORMED, f"The record cannot be read ({type(error).__name__})."
            )
        if len(self._unreadable) >= MAX_UNREADABLE:
            raise InvalidInput(
                f"More than {MAX_UNREADABLE:,} records of one part of the input cannot be read. "
                f"The first of them: {self._unreadable[0].detail}"
            )
        refused = describe_unreadable(self._records + ordinal, self._lines + line, error, raw)
        refused.file = self._file
        self._unreadable.append(refused)

    def _checked(self, measurement: Measurement) -> Measurement:
        try:
            _check_ids("user_id", [measurement.user_id])
            _check_ids("measurement_id", filter(None, [measurement.measurement_id]))
            self._know_unit(measurement.unit)
            factor, offset = self._conversions[measurement.unit]
            _check_finite(math.isfinite(measurement.value * factor + offset))
        except RecordError as error:
            error.record = msgspec.structs.asdict(measurement)
            raise
        return measurement


def _in_order(parts: Sequence[_Columns]) -> _Columns:
    """Join the parts of a block in the order of its records."""
    order = np.argsort(np.concatenate([part.ordinal for part in parts]))
    ids = [name for part in parts for name in part.ids]
    *arrays, _ = zip(*parts, strict=True)
    joined = (np.concatenate(column)[order] for column in arrays)
    return _Columns._make([*joined, [ids[row] for row in order.tolist()]])


def _check_ids(field: str, names: Iterable[str]) -> None:
    for name in names:
        if len(name) > MAX_ID_BYTES or (not name.isascii() and len(name.encode()) > MAX_ID_BYTES):
            raise RecordError(Reason.MALFORMED, f"{field} is longer than {MAX_ID_BYTES} bytes.")
        if not name or not name.isprintable():
            raise RecordError(Reason.MALFORMED, f"{field} holds a control character or is empty.")


def _check_finite(finite: object) -> None:
    if not finite:
        raise RecordError(Reason.BAD_VALUE, "value is not finite.")


def _microseconds(times: list[datetime]) -> I64:
    """Convert to whole microseconds since 1970, exactly at any date."""
    seconds = np.fromiter([time.timestamp() for time in times], np.float64, len(times))
    rounded = np.rint(seconds * SECOND).astype(np.int64)
    for row in np.flatnonzero(np.abs(seconds) > _EXACT_SECONDS):
        rounded[row] = microseconds(times[row])
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
