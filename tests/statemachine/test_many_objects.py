"""A prefix of many small objects: few workers read them, and each record keeps its position."""

import gzip
import json

import pytest

from kalmap.batch.folder import Folder
from kalmap.batch.positions import Positions
from kalmap.store.objects import Objects
from tests.support.moto_engine import WORK
from tests.support.statemachine_batches import assert_accounts_for_all, batch, readings


def as_csv(lines):
    rows = [f"{r['user_id']},{r['timestamp']},{r['value']}" for r in lines]
    return "\n".join(["user_id,timestamp,value", *rows]).encode()


def as_jsonl(lines):
    return b"\n".join(json.dumps(line).encode() for line in lines)


@pytest.fixture
def exported(engine):
    """Forty objects of a day each, in four forms; every one has an unreadable second line."""
    broken = {"user_id": "user-0", "timestamp": "2026-03-01", "value": 1}
    expected = []
    for number in range(40):
        lines = readings(users=3, days=1, start=1 + number % 28, value=80 + number % 2)
        lines[1:1] = [broken]
        body = [as_csv, as_jsonl][number % 2](lines)
        if number % 4 > 1:
            body = gzip.compress(body)
        key = f"in/many/{number:03d}"
        engine.put(key, body)
        # A CSV's header is its first line.
        expected.append((4 * number + 1, key, 3 if number % 2 == 0 else 2))
    return expected


@pytest.mark.parametrize("chunk_bytes", [None, 100])
def test_each_record_keeps_its_index_and_each_unreadable_one_its_file_and_line(
    engine, exported, chunk_bytes, monkeypatch
):
    if chunk_bytes:
        monkeypatch.setattr("kalmap.pipeline.plan_batch.CHUNK_BYTES", chunk_bytes)
    source = {"bucket": "work", "prefix": "in/many/"}
    ended = engine.run(batch(source, limits={"unusable": 1}))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert chunk_bytes or engine.calls["PartitionFunction"] == 1
    record = engine.record()
    results = engine.results(record)
    assert_accounts_for_all(engine.summary(record), results, 160)
    assert [r["user_id"] for r in results] == ["user-0", "user-0", "user-1", "user-2"] * 40
    unreadable = [
        json.loads(line)
        for key in engine.keys(f"{record['prefix']}/unreadable/")
        for line in engine.s3.get_object(Bucket="work", Key=key)["Body"].read().splitlines()
    ]
    assert sorted((r["index"], r["file"], r["line"]) for r in unreadable) == exported
    # All records are found in this way, such as those that were rejected.
    positions = Positions(Folder(Objects(engine.s3, "work"), record["prefix"]))
    for index, key, line in exported:
        assert [positions.find(n) for n in range(index - 1, index + 3)] == [
            (key, line + n) for n in (-1, 0, 1, 2)
        ]


def test_a_failed_chunk_counts_the_records_of_all_its_objects(engine, exported):
    engine.put("in/many/002", gzip.compress(as_csv(readings()))[:-9])
    ended = engine.run(batch({"bucket": "work", "prefix": "in/many/"}))
    assert "002 is truncated" in ended["cause"]
    assert engine.stored() == {}
    record = engine.record()
    unreadable = [
        json.loads(line)
        for key in engine.keys(f"{record['prefix']}/unreadable/")
        for line in engine.s3.get_object(Bucket="work", Key=key)["Body"].read().splitlines()
    ]
    lines = {(r["file"], r["line"]) for r in unreadable}
    assert {("in/many/000", 2), ("in/many/000", 5), ("in/many/039", 1)} <= lines


def test_more_objects_than_a_batch_reads_are_refused_by_number(engine, exported, monkeypatch):
    monkeypatch.setattr("kalmap.pipeline.identify_batch.MAX_OBJECTS", 39)
    ended = engine.run(batch({"bucket": "work", "prefix": "in/many/"}))
    assert f"more than 39 objects below s3://{WORK}/in/many/" in ended["cause"]
    assert engine.calls["PlanFunction"] == 0
