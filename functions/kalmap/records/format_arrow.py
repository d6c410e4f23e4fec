"""Arrow IPC: record batches one after the other, as a stream, or as a file with a footer.

How many rows a batch has is only known when it has been read, and programs write a table of any
size as one batch. So one worker reads a content as a whole.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from kalmap.errors import InvalidInput
from kalmap.records.arrow_library import import_arrow
from kalmap.records.mapping import Mapping
from kalmap.records.table_content import BrokenTable, TableContent, naming
from kalmap.records.table_format import MAX_ROWS, TableFormat, rows_between
from kalmap.records.table_layout import own_beside

_MAGIC = b"ARROW1\0\0"
_END_MAGIC = b"ARROW1"
#: How a stream begins: this mark, then the length of the schema's message.
_CONTINUATION = b"\xff\xff\xff\xff"
#: Batches are held as a whole, and programs write a table of any size as one batch.
MAX_ARROW_BYTES = 256 * 1024 * 1024
_BATCH_ROWS = 65_536
#: In a content of at most this size, rows are counted.
_COUNTED_BYTES = 1 << 20
#: About how many bytes a row has, to choose the number of shards.
_BYTES_A_ROW = 32


class Arrow(TableFormat, frozen=True, kw_only=True, tag="arrow"):
    """Arrow IPC. Of a large content, `rows` is an estimate: it is not known before all are read."""

    beginnings: ClassVar[tuple[bytes, ...]] = (_MAGIC, _CONTINUATION)
    title: ClassVar[str] = "an Arrow file"

    @classmethod
    def recognise(
        cls, name: str, head: bytes, mapping: Mapping | None, content: TableContent
    ) -> "Arrow | None":
        """Return the format if a content has it.

        Args:
            name: The content's name, for sentences.
            head: Its first bytes.
            mapping: How it is read; None if it has kalmap's own columns.
            content: All of it.

        Raises:
            UnknownFormat: It lacks a column, or has one that cannot be read.
            InvalidInput: It is broken or too large, or no library for it is installed.
        """
        if not head.startswith(cls.beginnings):
            return None
        import_arrow(f"{name} is an Arrow file")
        if content.size > MAX_ARROW_BYTES:
            raise InvalidInput(
                f"{name} is an Arrow file of {content.size:,} bytes, which one worker reads as a "
                f"whole; at most {MAX_ARROW_BYTES:,} are read. Write it as Parquet, which is read "
                "in parts."
            )
        with naming(name), content.reading():
            schema, batches = _open(content)
            rows = max(_COUNTED_BYTES, content.size) // _BYTES_A_ROW
            if content.size <= _COUNTED_BYTES:
                rows = sum(batch.num_rows for batch in batches)
        format_ = cls(mapping=own_beside(schema.names, mapping), rows=rows)
        format_.layout(name, schema)
        return format_

    @classmethod
    def schema(cls, content: TableContent) -> Any:
        """The schema of all columns."""
        return _open(content)[0]

    @classmethod
    def peek(cls, content: TableContent, rows: int, columns: Sequence[str]) -> Any:
        """Read some columns of the first rows, as a record batch; None if there are no rows."""
        for batch in _open(content)[1]:
            if batch.num_rows:
                return batch.slice(0, rows).select(columns)
        return None

    def split(self, size: int, step: int) -> list[tuple[int, int]]:  # noqa: ARG002
        """One range, of all rows; none if there are none."""
        return [(0, MAX_ROWS)] if self.rows else []

    def batches(self, content: TableContent, start: int, end: int) -> Iterator[Any]:
        """Read the rows [start, end) in record batches."""
        schema, batches = _open(content)
        columns = self.layout("The table", schema).columns
        position = 0
        for whole in batches:
            chosen = whole.select(columns)
            for first in range(0, chosen.num_rows, _BATCH_ROWS):
                batch = chosen.slice(first, _BATCH_ROWS)
                after = position + batch.num_rows
                if after > MAX_ROWS:
                    raise BrokenTable(
                        f"has more than {MAX_ROWS:,} rows, too many for the one worker that reads "
                        "an Arrow file. Write it as Parquet, which is read in parts."
                    )
                rows = rows_between(batch, position, start, end)
                if rows is not None:
                    yield rows
                position = after


def _open(content: TableContent) -> tuple[Any, Iterator[Any]]:
    """A content's schema, and its record batches one after the other."""
    arrow = import_arrow("An Arrow file is read")
    file = arrow.PythonFile(content, mode="r")
    if content.bytes(0, len(_MAGIC)) != _MAGIC:
        content.seek(0)
        stream = arrow.ipc.open_stream(file)
        return stream.schema, iter(stream)
    if content.bytes(content.size - len(_END_MAGIC), content.size) != _END_MAGIC:
        raise BrokenTable("is an Arrow file that is truncated: its end is missing.")
    # Not all programs mark where the batches end, so a file is not read as a stream.
    reader = arrow.ipc.open_file(file)
    return reader.schema, map(reader.get_batch, range(reader.num_record_batches))
