"""Batches of Parquet: the states and results of the same readings as lines, cut anywhere."""

import json
import re

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.statemachine_batches import (
    assert_accounts_for_all,
    batch,
    counts,
    other_writer,
    readings,
)
from tests.support.tables import parquet
from tests.support.template import ROOT

FILES = ROOT / "docs" / "files.md"
FRESH = {"write_mode": "overwrite"}


def put(engine, key, body):
    engine.s3.put_object(Bucket="work", Key=key, Body=body)
    return {"bucket": "work", "key": key}


def unreadable(engine, record):
    keys = engine.s3.list_objects_v2(Bucket="work", Prefix=f"{record['prefix']}/unreadable/")
    lines = [
        json.loads(line)
        for item in keys.get("Contents", [])
        for line in engine.s3.get_object(Bucket="work", Key=item["Key"])["Body"].iter_lines()
    ]
    return [(line["file"], line["line"], line["detail"]) for line in lines]


def table(rows):
    times = pa.array([row["timestamp"].removesuffix("Z") for row in rows])
    return pa.table(
        {
            "user_id": pa.array([row["user_id"] for row in rows]).dictionary_encode(),
            "timestamp": times.cast(pa.timestamp("s")).cast(pa.timestamp("s", "UTC")),
            "value": [row["value"] for row in rows],
        }
    )


def test_parquet_has_the_states_and_results_of_the_same_readings_as_lines(engine, monkeypatch):
    rows = readings(days=12)
    rows[70]["value"] = None
    lines = "\n".join(map(json.dumps, rows)).encode()
    engine.run(batch(put(engine, "in/a.jsonl", lines), **FRESH))
    as_lines, states = engine.results(engine.record()), engine.stored()
    [first] = engine.batches()
    monkeypatch.setattr("kalmap.pipeline.plan_batch.CHUNK_BYTES", 16 * 25)
    data = parquet(table(rows), row_group_size=40)
    ended = engine.run(batch(put(engine, "in/a.parquet", data), **FRESH))
    record = engine.record(ended["output"]["batch_id"])
    assert len(engine.batches()) == 2
    assert record["batch_id"] != first
    assert json.loads(
        engine.s3.get_object(Bucket="work", Key=f"{record['prefix']}/plan.json")["Body"].read()
    )["chunks"] == 5  # fmt: skip
    assert engine.results(record) == as_lines
    assert engine.stored() == states
    assert unreadable(engine, record) == [("in/a.parquet", 71, "value is missing.")]


def test_results_that_are_parquet_account_for_all_also_after_conflicts(
    engine, tmp_path, monkeypatch
):
    rows = readings(days=4)
    rows[5]["value"] = "heavy"
    engine.run(batch(engine.put("in/a.jsonl", readings(days=2))))

    def fault(called, event, number):
        if called == "WriteFunction":
            other_writer(engine, ["user-1"])

    engine.fault = fault
    ended = engine.run(batch(engine.put("in/b.jsonl", rows), results="parquet"))
    record = engine.record(ended["output"]["batch_id"])
    results = engine.results(record)
    assert_accounts_for_all(engine.summary(record), results, 32)
    assert counts(results)["failed", "conflict"] == 4
    files = engine.s3.list_objects_v2(Bucket="work", Prefix=record["prefix"])["Contents"]
    stored = [item["Key"] for item in files if "/results/" in item["Key"]]
    assert len(stored) > 2
    for key in stored:
        assert key.endswith(".parquet")
        folder = tmp_path / key.split("/")[-3] / "results"
        folder.mkdir(parents=True, exist_ok=True)
        engine.s3.download_file("work", key, str(folder / key.rpartition("/")[2]))
    [query] = re.findall(r"```sql\n(SELECT .*?)```", FILES.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with duckdb.connect() as database:
        found = database.sql(query).to_arrow_table()
    assert found["status"].to_pylist() == [result["status"] for result in results]
    assert found["level"].to_pylist() == [result["level"] for result in results]


def test_corrupt_pages_fail_their_chunk_with_a_sentence(engine):
    data = bytearray(parquet(table(readings()), compression="none", row_group_size=10))
    last = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(3).column(0)
    data[last.dictionary_page_offset : last.dictionary_page_offset + 40] = bytes(40)
    cause = engine.run(batch(put(engine, "in/a.parquet", bytes(data))))["cause"]
    assert "in/a.parquet is corrupt or truncated" in cause
