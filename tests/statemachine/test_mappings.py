"""Batches of files of other programs: by key, prefix and event, retried as a whole and in part."""

import json

import pytest

from tests.support.moto_engine import WORK
from tests.support.statemachine_batches import always, batch

MAPPING = {
    "columns": {"user_id": "Name", "timestamp": "Datum", "value": "Gewicht"},
    "delimiter": ";",
    "decimal": ",",
    "dates": "day_first",
    "tz": "Europe/Berlin",
}
ROWS = [f"{name};{day:02d}.03.2026 07:12;8{day % 3},{day % 10}" for day in range(1, 11)
        for name in ("ada", "bea", "cyd")]  # fmt: skip
TABLE = "Name;Datum;Gewicht\n" + "\n".join(ROWS) + "\n"


def put(engine, key, text=TABLE, **more):
    engine.s3.put_object(Bucket="work", Key=key, Body=text.encode(), **more)
    return {"bucket": "work", "key": key}


def mapped(source, **change):
    return source | {"mapping": MAPPING | change}


def test_a_mapped_object_has_a_result_for_each_row_with_its_time_in_utc(engine):
    ended = engine.run(batch(mapped(put(engine, "in/a.csv"))))
    assert ended["output"]["accepted"] == len(ROWS)
    first = engine.results(engine.record())[0]
    assert (first["user_id"], first["timestamp"]) == ("ada", "2026-03-01T06:12:00Z")
    assert first["value"] == 81.1


def test_the_same_file_with_the_same_mapping_is_the_same_batch(engine):
    source = put(engine, "in/a.csv")
    assert engine.run(batch(mapped(source)))["output"]["accepted"] == len(ROWS)
    assert "first" in engine.run(batch(mapped(source)))["output"]
    other = engine.run(batch(mapped(source, tz="UTC")))["output"]
    assert "first" not in other


def test_all_objects_of_a_prefix_are_read_by_the_mapping(engine):
    put(engine, "in/a.csv", TABLE[: TABLE.index("ada;05")])
    put(engine, "in/b.csv", "Name;Datum;Gewicht\n" + TABLE[TABLE.index("ada;05") :])
    ended = engine.run(batch(mapped({"bucket": "work", "prefix": "in/"})))
    assert ended["output"]["accepted"] == len(ROWS)


def test_objects_in_kalmaps_own_formats_are_read_beside_those_of_the_mapping(engine):
    put(engine, "in/a.csv")
    put(engine, "in/b.csv", "user_id,timestamp,value\ndan,2026-03-01T07:00:00Z,80\n\ndan,x,80\n")
    own = {"user_id": "eve", "timestamp": "2026-03-01T07:00:00Z", "value": 80}
    put(engine, "in/c.jsonl", json.dumps(own) + "\n")
    ended = engine.run(batch(mapped({"bucket": "work", "prefix": "in/"})))
    assert ended["output"]["accepted"] == len(ROWS) + 2
    assert {line["user_id"] for line in engine.results(engine.record())} >= {"ada", "dan", "eve"}


@pytest.mark.parametrize("explicit", [False, True])
def test_a_dropped_objects_metadata_is_its_mapping_unless_the_source_has_one(engine, explicit):
    metadata = json.dumps(MAPPING | ({"tz": "UTC"} if explicit else {}))
    source = put(engine, "incoming/a.csv", Metadata={"kalmap-mapping": metadata})
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "work"}, "object": {"key": source["key"]}},
    }
    ended = engine.run(batch(mapped(source)) if explicit else event)
    assert ended["output"]["accepted"] == len(ROWS)
    assert engine.results(engine.record())[0]["timestamp"] == "2026-03-01T06:12:00Z"


@pytest.mark.parametrize("text", ["{", '{"columns": {"value": "x"}}', '{"colums": {}}'])
def test_metadata_that_is_no_mapping_fails_the_batch_with_a_sentence(engine, text):
    source = put(engine, "in/a.csv", Metadata={"kalmap-mapping": text})
    cause = engine.run(batch(source))["cause"]
    assert f"The metadata kalmap-mapping of s3://{WORK}/in/a.csv is no mapping: " in cause


def test_without_a_mapping_the_sentence_says_what_the_file_has(engine):
    cause = engine.run(batch(put(engine, "in/a.csv")))["cause"]
    assert "in/a.csv is neither JSONL" in cause
    assert "It has the columns Name, Datum, Gewicht, separated by semicolons." in cause


def test_a_file_that_lacks_a_column_of_the_mapping_fails_with_the_columns_that_it_has(engine):
    source = mapped(put(engine, "in/a.csv"), columns=MAPPING["columns"] | {"value": "Masse"})
    cause = engine.run(batch(source))["cause"]
    assert "in/a.csv has no column 'Masse', which its mapping names." in cause
    assert "Name, Datum, Gewicht" in cause


def test_a_failed_batch_is_run_again_by_its_mapping(engine):
    engine.fault = always("FilterFunction")
    assert engine.run(batch(mapped(put(engine, "in/a.csv"))))["status"] == "FAILED"
    engine.fault = None
    again = engine.run({"retry_of": engine.record()["batch_id"]})
    assert again["output"]["accepted"] == len(ROWS)


def test_failed_readings_are_run_again_without_the_mapping(engine):
    engine.fault = always("FilterFunction", lambda event: event["shard"]["shard"] == 1)
    first = engine.run(
        batch(mapped(put(engine, "in/a.csv")), limits={"failed_shards": 1.0, "unusable": 1.0})
    )
    accepted = first["output"]["accepted"]
    assert 0 < accepted < len(ROWS)
    engine.fault = None
    again = engine.run({"retry_of": first["output"]["batch_id"]})
    assert again["output"]["accepted"] == len(ROWS) - accepted
