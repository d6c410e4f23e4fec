"""Parsing: records of any format in, columns of valid readings and the unreadable records out."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kalmap.errors import InvalidInput
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, I32, I64, U8, U64
from kalmap.records.coded import CodedReadings
from kalmap.records.conversion import Columns, Converter, in_order
from kalmap.records.formats import Block, Format
from kalmap.records.measurement import (
    MAX_UNREADABLE,
    Measurement,
    RecordError,
    UnreadableRecord,
    describe_unreadable,
)
from kalmap.records.runs import Run, Runs


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


def parse_columns(readings: CodedReadings, profile: Profile) -> Parsed | None:
    """Parse readings that are columns already, as `parse` does records with the same fields.

    Returns:
        All of them; None if one must be refused, which only its record can tell.
    """
    reader = _Reader(profile)
    try:
        reader.add(readings)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  reading one by one finds the record that raises it
        return None
    return reader.parsed()


class _Record(NamedTuple):
    """A record that passed every check by itself."""

    ordinal: int
    """0-based position among the block's records."""
    line: int
    """Its line in the block, from 1."""
    raw: bytes
    measurement: Measurement


class _Reader:
    """Reads block after block."""

    def __init__(self, profile: Profile) -> None:
        self._file = 0
        self._converter = Converter(profile)
        self._blocks: list[Columns] = []
        self._unreadable: list[UnreadableRecord] = []
        self._records = 0
        self._lines = 0
        self._runs = Runs()

    def begin(self, number: int, first_line: int) -> None:
        """Begin another file, and count lines from its `first_line`."""
        self._file, self._lines = number, first_line

    def read(self, block: Block) -> None:
        """Add a block of records."""
        found = self._read_columns(block) or self._read_at_once(block)
        parts, lines = found or self._read_one_by_one(
            block, ((ordinal, *record) for ordinal, record in enumerate(block.records()))
        )
        self._blocks += [part._replace(ordinal=part.ordinal + self._records) for part in parts]
        if len(lines) == block.lines:
            self._runs.add(self._records, self._file, self._lines + 1)
        elif lines:
            self._runs.add_lines(self._records, self._file, self._lines, lines)
        self._records += len(lines)
        self._lines += block.lines

    def add(self, readings: CodedReadings) -> None:
        """Add readings that are a record each.

        Raises:
            RecordError: One must be refused.
        """
        count = len(readings.time)
        ordinals = np.arange(self._records, self._records + count)
        self._blocks.append(self._converter.of_codes(readings, ordinals))
        self._runs.add(self._records, self._file, self._lines + 1)
        self._records += count
        self._lines += count

    def parsed(self) -> Parsed:
        """Return everything that was read."""
        blocks = self._blocks or [self._converter.of_measurements([], [])]
        ids = [name for block in blocks for name in block.ids]
        return Parsed(
            users=list(self._converter.users),
            sources=list(self._converter.sources),
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

    def _read_columns(self, block: Block) -> tuple[list[Columns], Sequence[int]] | None:
        """Read records column by column, and those one by one that need a sentence.

        Returns:
            Columns, and the line of each record; None if the block has no such columns, or must be
            read another way.
        """
        try:
            plain = block.columns()
            if plain is None:
                return None
            names, codes = plain.readings.units
            if not all(is_known := [self._converter.knows(unit) for unit in names]):
                plain = plain.where(np.array(is_known)[codes])
            lines = plain.lines()
            parts = [self._converter.of_codes(plain.readings, plain.ordinals())]
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  reading one by one finds the record that raises it
            return None
        if len(plain.rows) < len(lines):
            parts += self._read_one_by_one(block, plain.others())[0]
            if sum(len(part.ordinal) for part in parts) > len(plain.rows):
                parts = [in_order(parts)]
        return parts, lines

    def _read_at_once(self, block: Block) -> tuple[list[Columns], Sequence[int]] | None:
        """A block's columns, and the line of each record; None if one must be read by itself."""
        try:
            decoded = block.decoded()
            if decoded is None:
                return None
            measurements, lines = decoded
            return [self._converter.of_measurements(measurements, range(len(lines)))], lines
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  reading one by one finds the record that raises it
            return None

    def _read_one_by_one(
        self, block: Block, records: Iterable[tuple[int, int, bytes]]
    ) -> tuple[list[Columns], list[int]]:
        """Some records' columns and lines; unreadable ones are added to the list of them."""
        valid: list[_Record] = []
        lines: list[int] = []
        check = self._converter.check
        for ordinal, line, raw in records:
            lines.append(line)
            try:
                valid.append(_Record(ordinal, line, raw, check(block.measurement(raw))))
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001  the boundary that isolates a record
                self._refuse(ordinal, line, raw, error)
        return list(self._isolated(valid)), lines

    def _isolated(self, records: list[_Record]) -> Iterator[Columns]:
        """Columns of records that have passed every check.

        If converting them raises an error, they are halved until a record that raises it is alone.
        """
        try:
            yield self._converter.of_measurements(
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
