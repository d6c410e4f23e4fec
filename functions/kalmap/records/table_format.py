"""Table formats: what Parquet and Arrow have in common, whose records are rows of typed columns.

A content is cut between rows, not between bytes: the ends of a range are numbers of rows.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from kalmap.records.mapping import Mapping
from kalmap.records.table_block import TableBlock, TableReader
from kalmap.records.table_content import TableContent, refuse_unsound
from kalmap.records.table_layout import TableLayout, table_layout

#: One worker reads at most this many rows.
MAX_ROWS = 6_000_000
#: A row is planned as this many bytes of a text: a worker reads about a million rows.
ROW_BYTES = 16


def rows_between(batch: Any, first: int, start: int, end: int) -> Any:
    """The rows [start, end) of a table that are in a record batch; None if there are none.

    Args:
        batch: The record batch.
        first: The row of the table that it begins with.
        start: The first row.
        end: The row after the last one.
    """
    low, high = max(start - first, 0), min(end - first, batch.num_rows)
    return batch.slice(low, high - low) if low < high else None


class TableFormat(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, tag_field="name"):
    """A format of tables, and the rows of one content."""

    mapping: Mapping | None = None
    """None if the columns are kalmap's own."""
    rows: int
    """All rows."""
    groups: list[int] = []
    """The rows of each group that is read as a whole, while chunks are planned."""

    @property
    def records_start(self) -> int:
        """0: a table has no lines before its records."""
        return 0

    @property
    def header_lines(self) -> int:
        """0: the first row has number 1."""
        return 0

    def planned(self) -> "TableFormat":
        """The format as each chunk holds it."""
        return msgspec.structs.replace(self, groups=[])

    def split(self, size: int, step: int) -> list[tuple[int, int]]:  # noqa: ARG002 - for all formats
        """Split the rows into ranges, where possible between groups.

        Args:
            size: Not used.
            step: `ROW_BYTES` for each row of a range.
        """
        most = max(1, min(step // ROW_BYTES, MAX_ROWS))
        ranges: list[tuple[int, int]] = []
        start = end = 0
        for rows in self.groups or [self.rows]:
            if end > start and end + rows - start > most:
                ranges.append((start, end))
                start = end
            end += rows
            parts = -(-(end - start) // most)
            if parts > 1:
                step_rows = -(-(end - start) // parts)
                ranges += [(at, min(at + step_rows, end)) for at in range(start, end, step_rows)]
                start = end
        return [*ranges, (start, end)] if end > start else ranges

    def layout(self, name: str, schema: Any) -> TableLayout:
        """Which columns of a table with a schema are read, and how."""
        return table_layout(name, schema, self.mapping)

    def batches(self, content: TableContent, start: int, end: int) -> Iterator[Any]:
        """Read the rows [start, end) in record batches. Each format overrides this method."""
        raise NotImplementedError

    def read_range(
        self, start: int, end: int, size: int, read: Callable[[int, int], bytes]
    ) -> Iterator[Any]:
        """Read the rows [start, end), in record batches of pyarrow.

        Args:
            start: The first row.
            end: The row after the last one.
            size: Bytes of the whole content.
            read: Returns the content's bytes [start, end); fewer at its end.

        Raises:
            BrokenTable: The content has a fault.
        """
        content = TableContent(read, size)
        with content.reading():
            for batch in self.batches(content, start, end):
                refuse_unsound(batch)
                yield batch

    def blocks(self, parts: Iterable[Any]) -> Iterator[TableBlock]:
        """Iterate over the rows in blocks.

        Args:
            parts: What `read_range` returned.
        """
        reader: TableReader | None = None
        for batch in parts:
            if reader is None:
                reader = TableReader(self.layout("The table", batch.schema))
            yield TableBlock(reader, batch)
