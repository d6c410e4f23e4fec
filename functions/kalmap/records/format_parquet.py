"""Parquet: columns in row groups, described at the file's end."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, ClassVar

from kalmap.errors import UnknownFormat
from kalmap.records.arrow_library import import_arrow, import_compute, import_parquet
from kalmap.records.mapping import Mapping
from kalmap.records.table_content import BrokenTable, TableContent, naming
from kalmap.records.table_format import TableFormat, rows_between
from kalmap.records.table_layout import kind_of, own_beside

MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
#: Length of the footer, and the magic number.
_TAIL_BYTES = 8
_MAX_FOOTER_BYTES = 16 * 1024 * 1024
#: A worker that reads the last rows of a row group also reads those before them.
_MAX_GROUP_BYTES = 4 * 1024 * 1024 * 1024
_BATCH_ROWS = 65_536
_BATCH_BYTES = 64 * 1024 * 1024
_BUFFER_BYTES = 2 * 1024 * 1024
#: Such texts of a dictionary are not written out in each row that has them.
_LONG_TEXT = 1024
#: A text that takes fewer bytes than this, with 4 of its length, is in a dictionary.
_DICTIONARY_BYTES = 5
_WHAT = "A Parquet file is read"


class Parquet(TableFormat, frozen=True, kw_only=True, tag="parquet"):
    """Parquet."""

    beginnings: ClassVar[tuple[bytes, ...]] = (MAGIC, _ENCRYPTED)
    title: ClassVar[str] = "a Parquet file"

    @classmethod
    def recognise(
        cls, name: str, head: bytes, mapping: Mapping | None, content: TableContent
    ) -> "Parquet | None":
        """Return the format if a content has it.

        Args:
            name: The content's name, for sentences.
            head: Its first bytes.
            mapping: How it is read; None if it has kalmap's own columns.
            content: All of it.

        Raises:
            UnknownFormat: It cannot be read, or lacks a column.
            InvalidInput: It is broken, or no library for it is installed.
        """
        if head.startswith(_ENCRYPTED):
            raise UnknownFormat(
                f"{name} is an encrypted Parquet file. Write it without encryption: kalmap keeps "
                "no keys."
            )
        if not head.startswith(MAGIC):
            return None
        import_parquet(f"{name} is a Parquet file")
        with naming(name), content.reading():
            file = _open(content)
            metadata, schema = file.metadata, file.schema_arrow
        groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        format_ = cls(mapping=own_beside(schema.names, mapping), rows=sum(groups), groups=groups)
        columns = format_.layout(name, schema).columns
        with naming(name), content.reading():
            _read_a_row(content, metadata, columns)
        places = _places(metadata, columns).values()
        for number in range(len(groups)):
            group = metadata.row_group(number)
            size = sum(group.column(place).total_compressed_size for place in places)
            if size > _MAX_GROUP_BYTES:
                raise UnknownFormat(
                    f"{name} has a row group of {size:,} bytes in the columns that are read; at "
                    f"most {_MAX_GROUP_BYTES:,} are read. Write it in smaller ones, for example in "
                    "DuckDB by COPY ... (FORMAT parquet, ROW_GROUP_SIZE 1000000)."
                )
        return format_

    @classmethod
    def schema(cls, content: TableContent) -> Any:
        """The schema of all columns."""
        return _open(content).schema_arrow

    @classmethod
    def peek(cls, content: TableContent, rows: int, columns: Sequence[str]) -> Any:
        """Read some columns of the first rows, as a record batch; None if there are no rows."""
        schema = cls.schema(content)
        texts = [name for name in columns if kind_of(schema.field(name).type) == "text"]
        file = _open(content, None, texts)
        return next(file.iter_batches(batch_size=rows, columns=columns, use_threads=False), None)

    def batches(self, content: TableContent, start: int, end: int) -> Iterator[Any]:
        """Read the rows [start, end) in record batches; pages stream, row groups are not held."""
        file = _open(content)
        metadata = file.metadata
        layout = self.layout("The table", file.schema_arrow)
        groups, skipped, first = [], 0, 0
        for number in range(metadata.num_row_groups):
            after = first + metadata.row_group(number).num_rows
            if after <= start:
                skipped = after
            elif first < end:
                groups.append(number)
            first = after
        places = _places(metadata, layout.columns)
        sizes = [_bytes_a_row(metadata.row_group(number), places) for number in groups]
        widest = {name: max((size[name] for size in sizes), default=0.0) for name in layout.columns}
        texts = [name for name, kind in layout.kinds.items() if kind == "text"]
        coded = {name for name in texts if widest[name] < _DICTIONARY_BYTES}
        coded |= _with_long_texts(content, metadata, groups, set(texts) - coded)
        if coded:
            file = _open(content, metadata, sorted(coded))
        rows = max(1, min(_BATCH_ROWS, int(_BATCH_BYTES / max(sum(widest.values()), 1.0))))
        position = skipped
        for batch in file.iter_batches(
            batch_size=rows, row_groups=groups, columns=layout.columns, use_threads=False
        ):
            chosen = rows_between(batch, position, start, end)
            if chosen is not None:
                yield chosen
            position += batch.num_rows
            if position >= end:
                return


def _read_a_row(content: TableContent, metadata: Any, columns: Sequence[str]) -> None:
    """Read a row of some columns, which raises an error if one of them is encrypted."""
    file = _open(content, metadata, columns)
    next(file.iter_batches(1, columns=columns, use_threads=False), None)


def _with_long_texts(
    content: TableContent, metadata: Any, groups: Sequence[int], columns: set[str]
) -> set[str]:
    """The columns whose dictionaries have long texts: each may stand in any number of rows."""
    compute = import_compute(_WHAT)
    found: set[str] = set()
    places = _places(metadata, columns)
    file = None
    for number in groups:
        group = metadata.row_group(number)
        rest = sorted(
            name
            for name, size in _bytes_a_row(group, places).items()
            if name not in found and group.num_rows * (group.num_rows * size) > _BATCH_BYTES
        )
        if rest:
            file = file or _open(content, metadata, sorted(columns))
            [batch] = islice(
                file.iter_batches(1, row_groups=[number], columns=rest, use_threads=False), 1
            )
            for name in rest:
                texts = batch.column(batch.schema.get_field_index(name)).dictionary
                if (compute.max(compute.binary_length(texts)).as_py() or 0) > _LONG_TEXT:
                    found.add(name)
    return found


def _open(content: TableContent, metadata: Any = None, dictionaries: Sequence[str] = ()) -> Any:
    parquet, arrow = import_parquet(_WHAT), import_arrow(_WHAT)
    if metadata is None:
        _check_tail(content)
    return parquet.ParquetFile(
        arrow.PythonFile(content, mode="r"),
        metadata=metadata,
        read_dictionary=list(dictionaries),
        buffer_size=_BUFFER_BYTES,
        pre_buffer=False,
        coerce_int96_timestamp_unit="us",
        page_checksum_verification=True,
    )


def _check_tail(content: TableContent) -> None:
    tail = content.bytes(max(0, content.size - _TAIL_BYTES), content.size)
    if tail.endswith(_ENCRYPTED):
        raise BrokenTable("is encrypted. Write it without encryption: kalmap keeps no keys.")
    if not tail.endswith(MAGIC) or content.size < len(MAGIC) + _TAIL_BYTES:
        raise BrokenTable("is a Parquet file that is truncated: its end is missing.")
    footer = int.from_bytes(tail[:4], "little")
    if footer > _MAX_FOOTER_BYTES:
        raise BrokenTable(
            f"has a footer of {footer:,} bytes; at most {_MAX_FOOTER_BYTES:,} are read. Write it "
            "in larger row groups."
        )


def _places(metadata: Any, columns: Iterable[str]) -> dict[str, int]:
    """The positions of columns in each row group."""
    paths = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    return {name: paths.index(name) for name in columns}


def _bytes_a_row(group: Any, places: dict[str, int]) -> dict[str, float]:
    """Inflated bytes of a row of columns in a row group.

    It touches no other columns: pyarrow ends the process at the metadata of an encrypted one.
    """
    rows = max(1, group.num_rows)
    return {
        name: group.column(place).total_uncompressed_size / rows for name, place in places.items()
    }
