"""Formats: the input's file formats, and how a content's format is detected.

A format is a class. Its objects say where the records of one content are. To add one, write a
module like `format_csv.py` and add its class to `AnyFormat`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from kalmap.errors import UnknownFormat
from kalmap.records.dialects import describe_dialect
from kalmap.records.format_arrow import Arrow
from kalmap.records.format_csv import Csv
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.format_mapped import Mapped, mapped_format
from kalmap.records.format_parquet import Parquet
from kalmap.records.line_block import Decoded
from kalmap.records.line_format import BOM
from kalmap.records.mapping import Mapping
from kalmap.records.measurement import MAX_LINE_BYTES, REQUIRED_FIELDS, Measurement
from kalmap.records.other_formats import UTF_16, XML, recognise_other
from kalmap.records.table_block import Plain
from kalmap.records.table_content import TableContent

#: The format of a content is detected from this many of its first bytes.
HEAD_BYTES = MAX_LINE_BYTES
#: Kinds of content that only a mapping can read.
_MAPPED_KINDS = {UTF_16, XML}
#: The table of formats. A stored format is read back by its name, its tag.
AnyFormat = Jsonl | Csv | Mapped | Parquet | Arrow


class Block(Protocol):
    """Records that are decoded at once."""

    @property
    def lines(self) -> int:
        """The number of lines, for messages that name a line."""

    def columns(self) -> Plain | None:
        """Read the records column by column; None if they have no columns that allow it."""

    def decoded(self) -> Decoded | None:
        """Decode all records at once; None if they must be decoded one by one."""

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Iterate over the records: their line numbers, from 1, and their bytes."""

    def measurement(self, record: bytes) -> Measurement:
        """Decode and check one record.

        Raises:
            RecordError: It cannot be read.
        """


class Format(Protocol):
    """A format, and where its records are in one content."""

    @property
    def records_start(self) -> int:
        """Where the records begin, in inflated bytes."""

    @property
    def header_lines(self) -> int:
        """Lines before the records."""

    def planned(self) -> "Format":
        """The format as each chunk holds it, without what only the planning needs."""

    def split(self, size: int, step: int) -> list[tuple[int, int]]:
        """Split a content of `size` bytes into ranges of about `step` bytes.

        The ends of a range are bytes, and a record belongs to the range in which it begins. In
        tables they are rows.
        """

    def read_range(
        self, start: int, end: int, size: int, read: Callable[[int, int], bytes]
    ) -> Iterator[Any]:
        """Read the records that belong to a range, as bytes or, of tables, in record batches.

        Args:
            start: The first byte or row of a range that `split` returned.
            end: The one after its last.
            size: Bytes of the whole content.
            read: Returns the content's bytes [start, end); fewer at its end.
        """

    def blocks(self, parts: Iterable[Any]) -> Iterator[Block]:
        """Iterate over the records in blocks, in their order.

        Args:
            parts: What `read_range` returned; of a gzipped content, its inflated bytes from
                `records_start` on, cut anywhere.
        """


def table_class(head: bytes) -> type[Parquet | Arrow] | None:
    """The class of a table's format by its first bytes; None if it is no table."""
    return next((table for table in _TABLES if head.startswith(table.beginnings)), None)


_TABLES: tuple[type[Parquet | Arrow], ...] = (Parquet, Arrow)
_OWN: tuple[type[Jsonl | Csv], ...] = (Jsonl, Csv)


def detect_format(
    name: str,
    head: bytes,
    mapping: Mapping | None = None,
    content: TableContent | None = None,
) -> AnyFormat:
    """Detect a content's format.

    Args:
        name: The object's or file's name; used in the error's sentence only.
        head: The content's first bytes, inflated; 64 KB are enough.
        mapping: How to read files of another program, or None. A content in one of kalmap's own
            formats that lacks the mapping's time or value is read as its own.
        content: All of the content, since tables are described at their ends; None if it is
            gzipped.

    Raises:
        UnknownFormat: The content has none of the formats, or lacks a column that is required.
        InvalidInput: It is a table that is broken, or no library for it is installed.
    """
    if content is not None:
        for table in _TABLES:
            if opened := table.recognise(name, head, mapping, content):
                return opened
    other = recognise_other(head.removeprefix(BOM))
    if other and not (mapping and other.kind in _MAPPED_KINDS):
        titles = " or ".join(known.title for known in _OWN)
        raise UnknownFormat(f"{name} is {other.kind}, not {titles}. {other.advice}")
    if mapping:
        return _own_beside(name, head, mapping) or mapped_format(name, head, mapping)
    for known in _OWN:
        if format_ := known.recognise(name, head):
            return format_
    forms = " nor ".join(known.form for known in _OWN)
    found = describe_dialect(head)
    raise UnknownFormat(
        f"{name} is neither {forms}. {found}Give it one of these forms, gzipped or not, or a "
        "mapping: `kalmap check FILE` shows one."
    )


def _own_beside(name: str, head: bytes, mapping: Mapping) -> AnyFormat | None:
    """Kalmap's own format of a content among files of another program; None if it has none.

    It has every required field of kalmap's own, and not the columns that the mapping names.
    """
    names = (*mapping.names_of("timestamp"), *mapping.names_of("value"))
    wanted = {column.lower() for column in names}
    for known in _OWN:
        fields = known.fields_of(head)
        if fields.issuperset(REQUIRED_FIELDS) and not fields >= wanted:
            return known.recognise(name, head)
    return None
