"""Results as Parquet: one row for each result line, with the same columns, typed."""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, get_args, get_type_hints

import msgspec
import numpy as np

from kalmap.filter.decisions import Decisions
from kalmap.keys import Form
from kalmap.records.arrow_library import import_arrow, import_parquet
from kalmap.records.shards import IndexedUnreadable, ShardInput
from kalmap.results.lines import (
    REASON_LABELS,
    STATUS_LABELS,
    Result,
    encode,
    iso_timestamps,
    unreadable_result,
)

WHAT = "Results are Parquet"
#: Columns whose texts repeat.
_CODED = ("user_id", "status", "reason")
#: Each result line that `encode` writes is a row; so many are decoded at once.
_ROWS = 8192
#: Rows of a row group, where rows come one after the other.
_GROUP_ROWS = 131_072


def encode_results(form: Form, shard: ShardInput, decisions: Decisions) -> bytes:
    """Encode the results of a shard, sorted by index, as lines of JSON or as Parquet."""
    return encode(shard, decisions) if form == "jsonl" else encode_table(shard, decisions)


def encode_table(shard: ShardInput, decisions: Decisions) -> bytes:
    """Encode the results of a shard as a Parquet file, sorted by index."""
    arrow = import_arrow(WHAT)
    order = np.argsort(shard.readings.index, kind="stable")
    readings = shard.readings
    ids = [shard.ids[row] for row in order.tolist()] if any(shard.ids) else None
    columns = {
        "index": readings.index[order],
        "user_id": _coded(arrow, readings.user[order], shard.users),
        "measurement_id": arrow.nulls(len(order), arrow.string()) if ids is None else ids,
        "timestamp": readings.time[order],
        "value": readings.value[order],
        "status": _labelled(arrow, decisions.status[order], STATUS_LABELS),
        "reason": _labelled(arrow, decisions.reason[order], REASON_LABELS),
    }
    estimates = [name for name in Result.__struct_fields__ if name not in columns][:-1]
    for name, estimate in zip(estimates, decisions.reported, strict=True):
        chosen = estimate[order]
        columns[name] = arrow.array(chosen, mask=~np.isfinite(chosen))
    columns["restarted"] = decisions.restarted[order]
    table = _table(columns)
    if shard.unreadable:
        unreadable = _unreadable(shard.unreadable)
        table = arrow.concat_tables(
            [table, unreadable], promote_options="none"
        ).unify_dictionaries()
        table = table.take(arrow.array(np.argsort(table["index"].to_numpy(), kind="stable")))
    file = io.BytesIO()
    with _writer(file) as writer:
        writer.write_table(table.combine_chunks())
    return file.getvalue()


def decode_table(data: bytes) -> Iterator[bytes]:
    """Iterate over a Parquet file of results as the lines that `lines.encode` writes."""
    arrow, parquet = import_arrow(WHAT), import_parquet(WHAT)
    write = msgspec.json.Encoder().encode
    for batch in parquet.ParquetFile(arrow.BufferReader(data)).iter_batches(batch_size=_ROWS):
        columns = []
        for name in Result.__struct_fields__:
            column = batch.column(name)
            cells: list[Any] = column.to_pylist() if name != "timestamp" else []
            if name == "timestamp":
                present = column.is_valid().to_pylist()
                times = column.cast(arrow.int64()).fill_null(0).to_numpy(zero_copy_only=False)
                texts = iso_timestamps(times)
                cells = [text if is_there else None
                         for text, is_there in zip(texts, present, strict=True)]  # fmt: skip
            columns.append(cells)
        for row in zip(*columns, strict=True):
            yield write(Result(*row))


def write_table(lines: Iterable[bytes], file: BinaryIO) -> int:
    """Write result lines as a Parquet file, in row groups; returns how many."""
    decode = msgspec.json.Decoder(Result).decode
    count = 0
    rows: list[Result] = []
    with _writer(file) as writer:
        for line in lines:
            rows.append(decode(line))
            if len(rows) == _GROUP_ROWS:
                writer.write_table(_of_results(rows))
                count += len(rows)
                rows = []
        if rows:
            writer.write_table(_of_results(rows))
    return count + len(rows)


def _writer(file: BinaryIO) -> Any:
    parquet = import_parquet(WHAT)
    return parquet.ParquetWriter(
        file,
        _schema(),
        compression="zstd",
        compression_level=1,
        use_dictionary=list(_CODED),
        write_page_checksum=True,
        store_schema=False,
    )


def _schema() -> Any:
    """The columns of `Result`, with Arrow's types."""
    arrow = import_arrow(WHAT)
    types = {int: arrow.int64(), float: arrow.float64(), str: arrow.string(), bool: arrow.bool_()}
    fields = []
    for name, hint in get_type_hints(Result).items():
        plain = next((part for part in get_args(hint) if part is not type(None)), hint)
        type_ = arrow.dictionary(arrow.int32(), arrow.string()) if name in _CODED else types[plain]
        if name == "timestamp":
            type_ = arrow.timestamp("us", tz="UTC")
        fields.append(arrow.field(name, type_, nullable=plain is not hint or name in _CODED))
    return arrow.schema(fields)


def _table(columns: Mapping[str, Any]) -> Any:
    arrow = import_arrow(WHAT)
    schema = _schema()
    return arrow.Table.from_arrays(
        [
            column if isinstance(column, arrow.Array) else arrow.array(column, field.type)
            for column, field in zip(columns.values(), schema, strict=True)
        ],
        schema=schema,
    )


def _of_results(results: list[Result]) -> Any:
    rows = zip(*map(msgspec.structs.astuple, results), strict=True)
    columns: dict[str, Any] = dict(zip(Result.__struct_fields__, map(list, rows), strict=True))
    texts = [None if text is None else text.removesuffix("Z") for text in columns["timestamp"]]
    times = np.array(texts, "M8[us]")
    columns["timestamp"] = [None if text is None else time
                            for text, time in zip(texts, times.tolist(), strict=True)]  # fmt: skip
    return _table(columns)


def _unreadable(records: Iterable[IndexedUnreadable]) -> Any:
    return _of_results([unreadable_result(record) for record in records])


def _coded(arrow: Any, codes: Any, names: Iterable[str | None]) -> Any:
    return arrow.DictionaryArray.from_arrays(
        arrow.array(codes.astype(np.int32)), arrow.array(list(names), arrow.string())
    )


def _labelled(arrow: Any, codes: Any, labels: Mapping[int, str | None]) -> Any:
    """A column of codes as their labels; null where a code has none."""
    names = {code: label for code, label in labels.items() if label is not None}
    position = np.zeros(256, np.int32)
    position[list(names)] = np.arange(len(names))
    has_label = np.zeros(256, bool)
    has_label[list(names)] = True
    indices = arrow.array(position[codes], mask=~has_label[codes])
    return arrow.DictionaryArray.from_arrays(indices, arrow.array(list(names.values())))
