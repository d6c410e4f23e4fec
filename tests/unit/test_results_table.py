"""Results as Parquet: the rows are the lines of the same results, in the types of their columns."""

import json
import re

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalmap.filter.fold import fold_users
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.records.shards import assemble, route
from kalmap.results.lines import Result, encode
from kalmap.results.table import decode_table, encode_results
from tests.support.statemachine_batches import readings
from tests.support.tables import PROFILE
from tests.support.template import ROOT

FILES = ROOT / "docs" / "files.md"
NOW = 1_900_000_000_000_000
TYPES = {
    "index": "BIGINT", "user_id": "VARCHAR", "measurement_id": "VARCHAR",
    "timestamp": "TIMESTAMP WITH TIME ZONE", "value": "DOUBLE", "status": "VARCHAR",
    "reason": "VARCHAR", "level": "DOUBLE", "level_sd": "DOUBLE", "slope": "DOUBLE",
    "predicted": "DOUBLE", "innovation": "DOUBLE", "nis": "DOUBLE", "quality": "DOUBLE",
    "restarted": "BOOLEAN",
}  # fmt: skip


def folded(rows):
    """A shard's input and what was decided about it."""
    lines = "\n".join(map(json.dumps, rows)).encode()
    slices, _ = route(parse([lines], Jsonl(), PROFILE), 0, 1)
    shard = assemble([(0, 0, 0, slices)], PROFILE)
    return shard, fold_users(PROFILE, [None] * len(shard.users), shard.readings, NOW).decisions


def rows_of(kind):
    rows = readings(users=3, days=6)
    rows[4] |= {"value": 300.0, "measurement_id": "m-1"}
    rows[5] |= {"timestamp": "2026-03-02T07:00:00.000001Z"}
    if kind == "unreadable":
        rows[2]["value"] = "heavy"
        rows[11] = {"user_id": "ü"}
    return [{"user_id": "", "value": 1}] if kind == "nothing else" else rows


@pytest.mark.parametrize("kind", ["readings", "unreadable", "nothing else"])
def test_the_rows_are_the_lines_of_the_same_results(kind):
    shard, decisions = folded(rows_of(kind))
    lines = encode(shard, decisions).splitlines()
    assert len(lines) == len(rows_of(kind))
    assert list(decode_table(encode_results("parquet", shard, decisions))) == lines


def test_the_documented_table_of_athena_has_the_columns_of_a_result_and_their_types():
    [columns] = re.findall(r"kalmap_results \((.*?)\n\)", FILES.read_text(), re.DOTALL)
    types = dict(column.replace("`", "").split() for column in columns.split(","))
    assert list(types) == list(Result.__struct_fields__)
    of_athena = {"VARCHAR": "string", "TIMESTAMP WITH TIME ZONE": "timestamp"}
    assert types == {name: of_athena.get(kind, kind.lower()) for name, kind in TYPES.items()}


def test_pyarrow_duckdb_pandas_and_polars_read_typed_columns(tmp_path):
    shard, decisions = folded(rows_of("unreadable"))
    file = tmp_path / "000000.parquet"
    file.write_bytes(encode_results("parquet", shard, decisions))
    lines = [json.loads(line) for line in encode(shard, decisions).splitlines()]
    assert list(TYPES) == list(Result.__struct_fields__)
    with duckdb.connect() as database:
        found = database.sql(f"SELECT * FROM '{file}'")
        assert dict(zip(found.columns, map(str, found.types), strict=True)) == TYPES
        counted = database.sql(f"SELECT status, count(*) FROM '{file}' GROUP BY 1").fetchall()
    statuses = [line["status"] for line in lines]
    assert dict(counted) == {status: statuses.count(status) for status in set(statuses)}
    table = pq.read_table(file)
    assert table.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
    coded = pq.ParquetFile(file).metadata.row_group(0).column(1)
    assert "RLE_DICTIONARY" in coded.encodings
    assert table["level"].to_pylist() == [line["level"] for line in lines]
    assert pl.read_parquet(file)["value"].to_list() == [line["value"] for line in lines]
    frame = pd.read_parquet(file)
    assert frame["restarted"].tolist() == [line["restarted"] for line in lines]
    assert np.isnan(frame["predicted"]).tolist() == [line["predicted"] is None for line in lines]
