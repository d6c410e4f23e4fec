"""Whole lines of JSONL or CSV in, columns of valid readings and the unreadable ones out."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap import units
from kalmap.moments import microseconds
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, I32, I64, U8, U64
from kalmap.records.formats import BOM
from kalmap.records.measurement import (
    MAX_ID_BYTES,
    MAX_LINE_BYTES,
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

_LINE_END, _RETURN, _OPENS, _CLOSES = b"\n\r{}"
_BLOCK_BYTES = 512 * 1024
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


_decoder = msgspec.json.Decoder(Measurement)
_encoder = msgspec.json.Encoder()


def parse(parts: Iterable[bytes], *, columns: Sequence[str] | None, profile: Profile) -> Parsed:
    """Read whole lines of JSONL, or of CSV without its header.

    Args:
        parts: The bytes of whole lines, cut anywhere.
        columns: The CSV's column names; None for JSONL.
        profile: Gives the unit to convert to and the sources.

    Returns:
        Every record exactly once: among the columns, or in `unread`.
    """
    reader = _Reader(profile, columns)
    for block in _blocks(parts):
        reader.read(block)
    return reader.parsed()


def parse_objects(records: Iterable[object], profile: Profile) -> Parsed:
    """Read records that come as decoded JSON, as in a request's body."""
    return parse([_encoder.encode_lines(records)], columns=None, profile=profile)


def _blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Cut into blocks of whole lines, so that few objects are alive at once."""
    rest = b""
    for part in parts:
        data = rest + part
        start = 0
        while (end := data.rfind(b"\n", start, start + _BLOCK_BYTES) + 1) or (
            end := data.find(b"\n", start) + 1
        ):
            yield _unmarked(data[start:end])
            start = end
        # What is longer than any line that is read need not be kept to be refused.
        rest = data[start:][: MAX_LINE_BYTES + 1]
    if rest:
        yield _unmarked(rest)


def _unmarked(block: bytes) -> bytes:
    """Without byte order marks where lines begin.

    Only a file's first line should have one. But files are put together by programs that know
    nothing of it, and no reading may depend on whether its line is a chunk's first.
    """
    if BOM not in block:
        return block
    return block.removeprefix(BOM).replace(b"\n" + BOM, b"\n")


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


class _Reader:
    """Reads block after block; users, units and sources are looked at once each."""

    def __init__(self, profile: Profile, columns: Sequence[str] | None) -> None:
        self._profile = profile
        known = REQUIRED_FIELDS + OPTIONAL_FIELDS
        self._fields: list[str | None] | None = None
        if columns is not None:
            self._fields = [name if name in known else None for name in columns]
        self._users: dict[str, int] = {}
        self._ratios: dict[str | None, float] = {None: 1.0}
        self._sources: dict[str | None, int] = {}
        self._source_hashes: list[int] = []
        self._blocks: list[_Columns] = []
        self._unread: list[Unread] = []
        self._records = 0
        self._lines = 0

    def read(self, block: bytes) -> None:
        """Add a block of whole lines."""
        columns = None
        if not self._fields and not _may_hold_a_long_line(block):
            try:
                measurements = _decoder.decode_lines(block)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                pass
            else:
                if _is_text(block) and _is_a_line_each(block, len(measurements)):
                    columns = self._to_columns(measurements, range(len(measurements)))
        records = len(columns.ordinal) if columns else 0
        if columns is None:
            good, places, bad, records = self._read_line_by_line(block)
            columns = self._checked_columns(good, places)
            self._unread += bad
        self._blocks.append(columns._replace(ordinal=columns.ordinal + self._records))
        self._records += records
        self._lines += block.count(b"\n") + (not block.endswith(b"\n"))

    def parsed(self) -> Parsed:
        """All that was read."""
        blocks = self._blocks or [self._checked_columns([], [])]
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

    def _to_columns(
        self, measurements: list[Measurement], places: Sequence[int]
    ) -> _Columns | None:
        """Columns of a block, or None where a measurement in it must be refused."""
        count = len(measurements)
        names = [m.user_id for m in measurements]
        ids = [m.measurement_id or None for m in measurements]
        unit_names = [m.unit for m in measurements]
        new_users = set(names).difference(self._users)
        if _fault_of_ids(new_users) or _fault_of_ids(filter(None, ids)):
            return None
        if not all(self._ratio(unit) for unit in set(unit_names)):
            return None
        value = np.fromiter([m.value for m in measurements], np.float64, count)
        if self._needs_conversion(unit_names):
            with np.errstate(over="ignore"):
                value *= np.fromiter([self._ratios[u] for u in unit_names], np.float64, count)
        if not np.isfinite(value).all():
            return None
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
            time=_microseconds([m.timestamp for m in measurements]),
            value=value,
            source=source,
            tag=tag,
            hash=hashes,
            ordinal=np.array(places, np.int64),
            ids=ids,
        )

    def _checked_columns(self, measurements: list[Measurement], places: list[int]) -> _Columns:
        columns = self._to_columns(measurements, places)
        if columns is None:
            raise AssertionError("a measurement passed the line's checks and not the block's")
        return columns

    def _ratio(self, unit: str | None) -> float | None:
        ratio = self._ratios.get(unit)
        if ratio is None and unit is not None:
            ratio = units.ratio(unit, self._profile.unit)
            if ratio is not None:
                self._ratios[unit] = ratio
        return ratio

    def _needs_conversion(self, unit_names: list[str | None]) -> bool:
        return any(self._ratios[unit] != 1.0 for unit in set(unit_names))

    def _know_sources(self, names: list[str | None]) -> None:
        if self._sources.keys() >= set(names):
            return
        for name in dict.fromkeys(names):
            if name not in self._sources:
                self._sources[name] = len(self._sources)
                self._source_hashes.append(_hash64(name or ""))

    def _read_line_by_line(
        self, block: bytes
    ) -> tuple[list[Measurement], list[int], list[Unread], int]:
        good: list[Measurement] = []
        places: list[int] = []
        bad: list[Unread] = []
        record = 0
        for number, line in enumerate(block.split(b"\n"), start=1):
            if not line or line.isspace():
                continue
            try:
                good.append(self._read_line(line))
                places.append(record)
            except Unreadable as error:
                bad.append(unread(self._records + record, self._lines + number, error, line))
            record += 1
        return good, places, bad, record

    def _read_line(self, line: bytes) -> Measurement:
        if len(line) > MAX_LINE_BYTES:
            raise Unreadable(
                Reason.MALFORMED,
                f"The line has {len(line):,} bytes; at most {MAX_LINE_BYTES:,} are read.",
            )
        record = csv_record(line, self._fields) if self._fields else json_record(line)
        measurement = measurement_of(record)
        for field in ("user_id", "measurement_id"):
            if fault := _fault_of_ids(filter(None, [getattr(measurement, field)])):
                raise Unreadable(Reason.MALFORMED, f"{field} {fault}.", record)
        ratio = self._ratio(measurement.unit)
        if not ratio:
            raise Unreadable(
                Reason.UNKNOWN_UNIT,
                f"unit {(measurement.unit or '')[:20]!r} cannot be converted to "
                f"{self._profile.unit}, the unit of the profile {self._profile.name}.",
                record,
            )
        if not math.isfinite(measurement.value * ratio):
            raise Unreadable(Reason.BAD_VALUE, "value is not finite.", record)
        return measurement


def _is_text(block: bytes) -> bool:
    """Whether a block is UTF-8 throughout; the decoder looks at the fields it knows only."""
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_a_line_each(block: bytes, objects: int) -> bool:
    """Whether the objects that a block was decoded to stand one on each line.

    The decoder takes several on a line, one over several lines, and blank lines, too; a record's
    place in its file, and so its meaning, must not depend on what else is in the block.
    """
    # A line end between two braces cannot be inside of an object. Where all are, each line holds
    # at least one object; where there are as many lines as objects, each holds one.
    if not block.startswith(b"{"):
        return False
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == _LINE_END)
    if len(ends) == 0 or ends[-1] != len(text) - 1:
        ends = np.append(ends, len(text))
    if len(ends) != objects:
        return False
    last = text[ends - 1]
    last = np.where(last == _RETURN, text[ends - 2], last)
    return bool((last == _CLOSES).all() and (text[ends[:-1] + 1] == _OPENS).all())


def _may_hold_a_long_line(block: bytes) -> bool:
    # A look every MAX_LINE_BYTES / 2 for a line end nearby is cheaper than splitting.
    half = MAX_LINE_BYTES // 2
    return any(
        block.find(b"\n", start, start + half) < 0 for start in range(0, len(block) - half, half)
    )


def _fault_of_ids(names: Iterable[str]) -> str | None:
    for name in names:
        if len(name) > MAX_ID_BYTES or (
            not name.isascii() and len(name.encode(errors="replace")) > MAX_ID_BYTES
        ):
            return f"is longer than {MAX_ID_BYTES} bytes"
        if not name or not name.isprintable():
            return "holds a control character or is empty"
    return None


def _microseconds(times: list[datetime]) -> I64:
    """Whole microseconds since 1970, exact at any date."""
    seconds = np.fromiter([time.timestamp() for time in times], np.float64, len(times))
    rounded = np.rint(seconds * 1e6).astype(np.int64)
    for place in np.flatnonzero(np.abs(seconds) > _EXACT_SECONDS):
        rounded[place] = microseconds(times[place])
    return rounded


def _hash64(name: str) -> int:
    digest = hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _mix(bits: U64) -> U64:
    """SplitMix64's output function, elementwise."""
    mixed = bits + _SPLITMIX_INCREMENT
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _SPLITMIX_MULTIPLIERS[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SPLITMIX_MULTIPLIERS[1]
    return mixed ^ (mixed >> np.uint64(31))
