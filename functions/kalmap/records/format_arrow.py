"""Arrow IPC: record batches one after the other, as a stream, or as a file with a footer.

The footer says where each batch is, so a file is cut into ranges like other tables. How many rows a
batch has is only known when it has been read. So a file's rows have positions: each batch has the
same number of them, `batch_rows`, and its own rows lie on them at even distances. Two ranges that
meet within a batch share none of its rows. A stream has no footer: one worker reads all of it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from kalmap.records.arrow_library import import_arrow
from kalmap.records.mapping import Mapping
from kalmap.records.table_content import BrokenTable, TableContent, naming
from kalmap.records.table_format import MAX_ROWS, TableFormat, rows_between
from kalmap.records.table_layout import own_beside

_MAGIC = b"ARROW1\0\0"
_END_MAGIC = b"ARROW1"
#: How a stream begins: this mark, then the length of the schema's message.
_CONTINUATION = b"\xff\xff\xff\xff"
#: A batch is held in memory: of a file its columns that are read, of a stream all of it.
MAX_BATCH_BYTES = 256 * 1024 * 1024
_TOO_LARGE = (
    f"has a record batch of more than {MAX_BATCH_BYTES:,} bytes that are held at once. Write it "
    "with smaller ones, for example by pyarrow.feather.write_feather(table, FILE, "
    "chunksize=100_000), or as Parquet."
)
_TOO_MANY = (
    f"has more than {MAX_ROWS:,} rows for one worker: it is a stream, which is not read in parts, "
    "or its batches differ very much in size. Write it as Parquet."
)
_BATCH_ROWS = 65_536
#: In a content of at most this size, rows are counted.
_COUNTED_BYTES = 1 << 20
#: About how many bytes a row has, to choose the number of shards.
_BYTES_A_ROW = 32


class Arrow(TableFormat, frozen=True, kw_only=True, tag="arrow"):
    """Arrow IPC. `rows` counts positions in a file; of a large stream it is an estimate."""

    batch_rows: int = 0
    """The positions of each batch of a file; 0 for a stream, whose positions are its rows."""

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
            InvalidInput: It is broken, or no library for it is installed.
        """
        if not head.startswith(cls.beginnings):
            return None
        import_arrow(f"{name} is an Arrow file")
        with naming(name), content.reading():
            schema = cls.schema(content)
            mapping = own_beside(schema.names, mapping)
        columns = cls(mapping=mapping, rows=0).layout(name, schema).columns
        with naming(name), content.reading():
            if _is_file(content):
                batches = _Batches(content, columns)
                most = batches.most_rows()
                return cls(mapping=mapping, rows=most * batches.count, batch_rows=most)
            rows = max(_COUNTED_BYTES, content.size) // _BYTES_A_ROW
            if content.size <= _COUNTED_BYTES:
                rows = sum(batch.num_rows for batch in _stream(content))
            return cls(mapping=mapping, rows=rows)

    @classmethod
    def schema(cls, content: TableContent) -> Any:
        """The schema of all columns."""
        return _open(content, ()).schema

    @classmethod
    def peek(cls, content: TableContent, rows: int, columns: Sequence[str]) -> Any:
        """Read some columns of the first rows, as a record batch; None if there are no rows."""
        batches = _Batches(content, columns) if _is_file(content) else _stream(content)
        for batch in batches:
            if batch.num_rows:
                return batch.slice(0, rows).select(columns)
        return None

    def split(self, size: int, step: int) -> list[tuple[int, int]]:
        """Split a file between its batches if possible. A stream is one range."""
        if not self.rows:
            return []
        if not self.batch_rows:
            return [(0, MAX_ROWS)]
        groups = [self.batch_rows] * (self.rows // self.batch_rows)
        return TableFormat(rows=self.rows, groups=groups).split(size, step)

    def batches(self, content: TableContent, start: int, end: int) -> Iterator[Any]:
        """Read the rows at the positions [start, end) in record batches."""
        columns = self.layout("The table", self.schema(content)).columns
        read = 0
        for whole in self._wholes(content, columns, start, end):
            read += whole.num_rows
            if read > MAX_ROWS:
                raise BrokenTable(_TOO_MANY)
            for first in range(0, whole.num_rows, _BATCH_ROWS):
                yield whole.slice(first, _BATCH_ROWS)

    def _wholes(
        self, content: TableContent, columns: Sequence[str], start: int, end: int
    ) -> Iterator[Any]:
        """The parts of batches at the positions [start, end)."""
        if not self.batch_rows:
            position = 0
            for batch in _stream(content):
                after = position + batch.num_rows
                # The last range of a stream ends at MAX_ROWS; what comes after must not be lost.
                if after > MAX_ROWS:
                    raise BrokenTable(_TOO_MANY)
                rows = rows_between(batch, position, start, end)
                if rows is not None:
                    yield rows.select(columns)
                position = after
                if end <= position and end < MAX_ROWS:
                    return
            return
        batches, most = _Batches(content, columns), self.batch_rows
        for number in range(start // most, min(-(-end // most), batches.count)):
            batch = batches.read(number)
            low = max(start - number * most, 0) * batch.num_rows // most
            high = min(end - number * most, most) * batch.num_rows // most
            yield batch.slice(low, high - low)


class _Batches:
    """The record batches of a file, each read where the footer says, in some columns."""

    def __init__(self, content: TableContent, columns: Sequence[str]) -> None:
        self._content = content
        self._columns = columns
        self._reader = _open(content, columns)
        self.count: int = self._reader.num_record_batches

    def __iter__(self) -> Iterator[Any]:
        """All batches."""
        return map(self.read, range(self.count))

    def read(self, number: int) -> Any:
        """Read a batch."""
        with self._content.at_most(MAX_BATCH_BYTES, _TOO_LARGE):
            return self._reader.get_batch(number).select(self._columns)

    def most_rows(self) -> int:
        """The rows of the largest batch: of some, unless these are empty; of a small file, of all.

        It is 0 only if there are no rows.
        """
        if self._content.size > _COUNTED_BYTES and self.count:
            some = {0, self.count // 2, self.count - 1}
            if most := max(self.read(number).num_rows for number in some):
                return int(most)
        return max((batch.num_rows for batch in self), default=0)


def _is_file(content: TableContent) -> bool:
    return content.bytes(0, len(_MAGIC)) == _MAGIC


def _stream(content: TableContent) -> Iterator[Any]:
    """The record batches of a stream, one after the other."""
    batches = iter(_open(content, ()))
    while True:
        with content.at_most(MAX_BATCH_BYTES, _TOO_LARGE):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _open(content: TableContent, columns: Sequence[str]) -> Any:
    """Open a file or a stream, of which some columns are read, or all if none is named."""
    arrow = import_arrow("An Arrow file is read")
    file = arrow.PythonFile(content, mode="r")
    if not _is_file(content):
        content.seek(0)
        return arrow.ipc.open_stream(file)
    if content.bytes(content.size - len(_END_MAGIC), content.size) != _END_MAGIC:
        raise BrokenTable("is an Arrow file that is truncated: its end is missing.")
    # Not all programs mark where the batches end, so a file is not read as a stream.
    reader = arrow.ipc.open_file(file)
    if not columns:
        return reader
    numbers = [reader.schema.get_field_index(name) for name in columns]
    options = arrow.ipc.IpcReadOptions(included_fields=numbers, use_threads=False)
    return arrow.ipc.open_file(file, options=options)
