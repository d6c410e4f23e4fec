"""Arrow files and streams: read batch by batch, in ranges, and only the columns that are needed."""

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalmap.errors import InvalidInput
from kalmap.records import format_arrow
from kalmap.records.table_format import ROW_BYTES
from tests.support.tables import arrow, detect, parse_table


def table(rows, first=0):
    numbers = range(first, first + rows)
    return pa.table(
        {
            "user_id": pa.array([f"u{number}" for number in numbers], pa.string()),
            "note": pa.array(["x" * 1000] * rows, pa.string()),
            "timestamp": pa.array([1_700_000_000_000_000] * rows, pa.timestamp("us", "UTC")),
            "value": pa.array([80.0] * rows, pa.float64()),
        }
    )


def written(sizes, *, stream=False):
    """A file of batches of these sizes."""
    file = io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    whole = table(sum(sizes)).combine_chunks()
    with new(file, whole.schema) as writer:
        first = 0
        for size in sizes:
            columns = [column.chunk(0).slice(first, size) for column in whole.columns] if sum(
                sizes
            ) else [pa.array([], field.type) for field in whole.schema]  # fmt: skip
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=whole.schema))
            first += size
    return file.getvalue()


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12), st.booleans())
def test_every_row_is_read_once_and_in_order_wherever_a_file_is_cut(sizes, step, large):
    with pytest.MonkeyPatch.context() as patch:
        # Of a large file only some batches are looked at before it is cut.
        patch.setattr(format_arrow, "_COUNTED_BYTES", 0 if large else 1 << 20)
        data = written(sizes)
        parsed = parse_table(data, step=step * ROW_BYTES)
        assert parsed.records == sum(sizes)
        users = [parsed.users[code] for code in parsed.user.tolist()]
        assert users == [f"u{number}" for number in range(sum(sizes))]
        assert len(detect(data).split(len(data), step * ROW_BYTES)) >= sum(sizes) / step / 9


def test_a_large_batch_is_cut_and_columns_that_are_not_needed_are_not_read():
    data = arrow(table(20_000))
    format_ = detect(data)
    ranges = format_.split(len(data), 8000 * ROW_BYTES)
    assert ranges == [(0, 6667), (6667, 13334), (13334, 20_000)]
    read = 0

    def count(start, end):
        nonlocal read
        read += end - start
        return data[start:end]

    rows = [batch.num_rows for batch in format_.read_range(0, 6667, len(data), count)]
    assert (sum(rows), len(data) > 20_000_000, read < 1_000_000) == (6667, True, True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_batch_that_is_too_large_is_refused_with_what_to_type(monkeypatch, stream):
    data = written([10_000] * 2, stream=stream)
    monkeypatch.setattr(format_arrow, "MAX_BATCH_BYTES", 100_000)
    with pytest.raises(InvalidInput, match=r"has a record batch of more than .* chunksize=100_000"):
        parse_table(data)
    monkeypatch.setattr(format_arrow, "MAX_BATCH_BYTES", 11_000_000 if stream else 1_000_000)
    assert parse_table(data).records == 20_000


@pytest.mark.parametrize("stream", [False, True])
def test_more_rows_than_one_worker_reads_are_refused_and_never_left_out(monkeypatch, stream):
    data = written([9, 0, 1, 0, 9], stream=stream)
    monkeypatch.setattr(format_arrow, "MAX_ROWS", 19)
    assert parse_table(data).records == 19
    monkeypatch.setattr(format_arrow, "MAX_ROWS", 18)
    with pytest.raises(InvalidInput, match=r"has more than .* rows for one worker"):
        parse_table(data)
