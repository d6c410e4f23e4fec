"""Tables as pandas, polars, DuckDB, Spark and pyarrow write them."""

from datetime import UTC, datetime

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalmap.records.mapping import Mapping
from tests.support.tables import parquet, parse_table

NAIVE = datetime(2026, 3, 1, 7, 12)  # noqa: DTZ001
MOMENTS = [datetime(2026, 3, day, 7, 12, tzinfo=UTC) for day in range(1, 29)]
FRAME = pd.DataFrame(
    {
        "user_id": pd.Categorical(["anna", "ben"] * 14),
        "timestamp": MOMENTS,
        "value": [80 + day / 8 for day in range(28)],
        "note": "not read",
    }
)
WRITERS = {
    "pandas": FRAME.to_parquet,
    "pandas feather": FRAME.to_feather,
    "polars": lambda file: pl.from_pandas(FRAME).write_parquet(file, row_group_size=10),
    "polars ipc": lambda file: pl.from_pandas(FRAME).write_ipc(file, compression="zstd"),
    "polars stream": lambda file: pl.from_pandas(FRAME).write_ipc_stream(file),
    "duckdb": lambda file: duckdb.from_df(FRAME).write_parquet(str(file), compression="zstd"),
    "pages of version 2": lambda file: pq.write_table(
        pa.Table.from_pandas(FRAME), file, data_page_version="2.0", compression="gzip"
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_files_of_every_program_are_the_same_readings(writer, tmp_path):
    file = tmp_path / "t"
    WRITERS[writer](file)
    parsed = parse_table(file.read_bytes())
    assert parsed.unreadable == []
    assert [parsed.users[user] for user in parsed.user] == ["anna", "ben"] * 14
    assert parsed.time.tolist() == [int(moment.timestamp()) * 10**6 for moment in MOMENTS]
    assert parsed.value.tolist() == FRAME["value"].tolist()


def test_old_timestamps_of_spark_are_local_ones():
    table = pa.table({"t": pa.array([NAIVE]), "v": [80.0]})
    data = parquet(table, use_deprecated_int96_timestamps=True)
    mapping = Mapping(columns={"timestamp": "t", "value": "v"}, user="u", tz="UTC")
    [time] = parse_table(data, mapping).time.tolist()
    assert time == int(NAIVE.replace(tzinfo=UTC).timestamp()) * 10**6
