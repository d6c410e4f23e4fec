"""How far a running batch is: counted from what its steps have stored."""

from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from kalmap.batch.chunks import Chunk, SourceObject
from kalmap.batch.folder import Folder, Plan, Shard
from kalmap.batch.partitions import Partitions
from kalmap.outcome import Reason, Status
from kalmap.records.formats import detect_format
from kalmap.records.shards import PartitionReport
from kalmap.results.report import Report
from kalmap.results.tally import Tally
from kalmap.store.objects import Objects
from kalmap.store.ports import BatchRecord
from kalmap_cli.batch_counts import BatchCounter
from kalmap_cli.execution import Progress
from kalmap_cli.usual_speed import UsualSpeed, usual_speed

LINE = b'{"user_id":"u","timestamp":"2026-01-01T00:00:00Z","value":1}\n'
SOURCE = SourceObject(
    bucket="in", key="a.jsonl", etag="e", size=400, format=detect_format("a.jsonl", LINE, None)
)


@pytest.fixture
def folder():
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="work")
        yield Folder(Objects(s3, "work"), "batches/b/1")


def in_state(state, done, event=7, total=2):
    return Progress(event, 0.0, state, done, 0, total)


def filtered(number, accepted, outliers, round_=0, **more):
    tally = Tally()
    tally[Status.ACCEPTED, Reason.NONE] = accepted
    tally[Status.REJECTED, Reason.OUTLIER] = outliers
    return Report(step="filter", round=round_, number=number, readings=tally, **more)


def test_parsed_chunks_count_by_their_bytes_since_their_readings_are_not_known_before(folder):
    chunks = [Chunk(0, SOURCE, 0, 100), Chunk(1, SOURCE, 100, 400)]
    Partitions(folder).save_plan(Plan(2, 2, [["a.jsonl"], ["a.jsonl"]]), chunks)
    counter = BatchCounter(folder)
    begun = counter.count(in_state("PartitionMeasurements", 0))
    assert (begun.readings, begun.share, begun.total) == (0, 0.0, None)
    Partitions(folder).save(b"", PartitionReport(0, 9, 9, [0, 0], [4, 5]))
    half = counter.count(in_state("PartitionMeasurements", 1))
    assert (half.readings, half.share) == (9, 0.25)


def test_shards_count_by_their_readings_and_decisions_are_told_as_they_come(folder):
    folder.save_shards(0, [Shard(0, 30, (0, 0)), Shard(4, 10, (0, 0))])
    counter = BatchCounter(folder)
    loading = counter.count(in_state("LoadStates", 0))
    assert (loading.readings, loading.share, loading.total) == (0, 0.0, 40)
    folder.save_report(filtered(4, accepted=9, outliers=1))
    some = counter.count(in_state("FilterUsers", 1, event=9))
    assert (some.readings, some.share) == (10, 0.25)
    assert some.of_status(Status.ACCEPTED) == 9
    folder.save_report(filtered(0, accepted=30, outliers=0))
    folder.save_report(Report(step="write", number=4))
    everything = counter.count(in_state("FilterUsers", 2, event=9))
    assert (everything.readings, everything.of_status(Status.ACCEPTED)) == (40, 39)
    writing = counter.count(in_state("WriteStates", 1, event=12))
    assert (writing.readings, writing.of_status(Status.REJECTED)) == (10, 1)


def test_what_an_earlier_batch_took_tells_how_long_a_map_takes(folder):
    chunks = [Chunk(0, SOURCE, 0, 400)]
    Partitions(folder).save_plan(Plan(1, 1, [["a.jsonl"]]), chunks)
    folder.save_shards(0, [Shard(0, 30, (0, 0))])
    counter = BatchCounter(folder, UsualSpeed(60, 200, {"partition": 3.0, "filter": 8.0}))
    assert counter.count(in_state("PartitionMeasurements", 0)).usual_seconds == 6.0
    assert counter.count(in_state("FilterUsers", 0)).usual_seconds == 4.0
    assert counter.count(in_state("WriteStates", 0)).usual_seconds is None
    # A small batch says little of one with many times its work.
    small = BatchCounter(folder, UsualSpeed(6, 2, {"filter": 8.0}))
    assert small.count(in_state("FilterUsers", 0)).usual_seconds is None


@pytest.mark.parametrize("is_local", [True, False])
def test_until_a_large_batch_has_run_the_local_cloud_says_what_two_cores_take(is_local):
    small = BatchRecord(
        batch_id="b", status="SUCCEEDED", execution="e", prefix="batches/b/e", received=7
    )
    batches = SimpleNamespace(newest=lambda: iter([small]))
    usual = usual_speed(SimpleNamespace(batches=batches, is_local=is_local))
    if is_local:
        assert 1.0 < usual.seconds_of("partition", 149_000_000) < 10.0
        assert 0.1 < usual.seconds_of("write", 50_000) < 1.0
    else:
        assert usual is None


def test_a_round_of_conflicts_counts_its_own_shards_and_no_reading_twice(folder):
    folder.save_shards(0, [Shard(0, 30, (0, 0))])
    folder.save_shards(1, [Shard(0, 5, (0, 0))])
    counter = BatchCounter(folder)
    counter.count(in_state("LoadStates", 0, event=1))
    folder.save_report(filtered(0, accepted=30, outliers=0))
    counter.count(in_state("FilterUsers", 1, event=2))
    counter.count(in_state("LoadStates", 0, event=30))
    again = Tally({(Status.ACCEPTED, Reason.NONE): 5})
    folder.save_report(filtered(0, accepted=4, outliers=1, round_=1, superseded=again))
    second = counter.count(in_state("FilterUsers", 1, event=31))
    assert (second.readings, second.share, second.total) == (5, 1.0, 30)
    assert second.of_status(Status.ACCEPTED) == 29
    assert sum(second.decisions.values()) == 30


def test_who_begins_to_watch_in_the_middle_sees_the_same(folder):
    folder.save_shards(0, [Shard(0, 30, (0, 0)), Shard(4, 10, (0, 0))])
    folder.save_report(filtered(0, accepted=30, outliers=0))
    late = BatchCounter(folder).count(in_state("FilterUsers", 1))
    assert (late.readings, late.share, late.total) == (30, 0.75, 40)


def test_who_begins_to_watch_in_a_later_round_counts_that_round(folder):
    folder.save_shards(0, [Shard(0, 30, (0, 0))])
    folder.save_report(filtered(0, accepted=30, outliers=0))
    folder.save_shards(1, [Shard(0, 4, (0, 0)), Shard(1, 6, (0, 0))])
    folder.save_report(filtered(1, accepted=6, outliers=0, round_=1))
    counts = BatchCounter(folder).count(in_state("FilterUsers", 1))
    assert (counts.readings, counts.share) == (6, 0.6)


def test_the_same_progress_is_not_counted_again(folder):
    folder.save_shards(0, [Shard(0, 30, (0, 0))])
    counter = BatchCounter(folder)
    first = counter.count(in_state("LoadStates", 0))
    folder.save_report(Report(step="load", number=0))
    assert counter.count(in_state("LoadStates", 0)) is first
    assert counter.count(in_state("LoadStates", 1)).readings == 30


def test_a_state_without_items_and_a_folder_that_is_gone_count_nothing(folder):
    counter = BatchCounter(folder)
    assert counter.count(in_state("PlanShards", 0)) is None
    assert counter.count(in_state("FilterUsers", 1)) is None


def test_a_store_that_does_not_answer_counts_nothing_and_ends_no_command(folder):
    folder.save_shards(0, [Shard(0, 30, (0, 0))])
    counter = BatchCounter(folder)
    assert counter.count(in_state("LoadStates", 0)).total == 30
    s3 = folder.objects._client
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3.meta.events, "emit_until_response", refuse)
        assert counter.count(in_state("LoadStates", 1)) is None
    folder.save_report(filtered(0, accepted=30, outliers=0))
    assert counter.count(in_state("FilterUsers", 1)).readings == 30


def test_a_report_of_a_chunk_is_read_once(folder, monkeypatch):
    chunks = [Chunk(number, SOURCE, 100 * number, 100 * number + 100) for number in range(3)]
    Partitions(folder).save_plan(Plan(3, 1, [["a.jsonl"]] * 3), chunks)
    counter = BatchCounter(folder)
    read = []
    get = folder.objects.get
    monkeypatch.setattr(folder.objects, "get", lambda key: read.append(key) or get(key))
    for number in range(3):
        Partitions(folder).save(b"", PartitionReport(number, 9, 9, [0], [9]))
        counter.count(in_state("PartitionMeasurements", number + 1))
    assert len([key for key in read if key.endswith(".report")]) == 3


def refuse(*_, **__):
    raise EndpointConnectionError(endpoint_url="the store")
