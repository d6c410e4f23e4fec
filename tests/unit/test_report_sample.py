"""The readings that a report draws from: those of the results, or of a part of the users."""

import boto3
import msgspec
import numpy as np
import pytest
from moto import mock_aws

from kalmap.batch.folder import Folder, Shard
from kalmap.results.lines import Result
from kalmap.store.objects import Objects
from kalmap_cli.reporting.sample import read_sample

SHARDS, USERS, READINGS = 4, 6, 5


def line(index: int, user: str, **more: object) -> Result:
    fields = {"status": "accepted", "reason": None, "level": 80.0, "nis": 1.0, "quality": 0.9}
    time = f"2026-03-{index % 28 + 1:02d}T08:00:00Z"
    return Result(index, user, None, time, float(index), **(fields | more))  # type: ignore[arg-type]


@pytest.fixture
def folder():
    """Each shard has users of its own; the lines of all shards take turns."""
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="work")
        folder = Folder(Objects(s3, "work"), "batches/a/run-1")
        of_shard = USERS * READINGS
        folder.save_shards(0, [Shard(number, of_shard, (0, 0)) for number in range(SHARDS)])
        for number in range(SHARDS):
            lines = [line(n * SHARDS + number, f"u-{number}-{n % USERS}") for n in range(of_shard)]
            put(folder, 0, number, lines)
        yield folder


def put(folder: Folder, round_: int, shard: int, lines: list[Result], **more: bool) -> None:
    content = msgspec.json.Encoder().encode_lines(lines)
    folder.objects.put(folder.results_key(round_, shard, **more), content)


def test_all_readings_are_read_if_they_are_few(folder) -> None:
    sample = read_sample(folder)
    assert sample is not None
    assert sample.is_whole
    assert sorted(sample.position.tolist()) == list(range(SHARDS * USERS * READINGS))
    assert len(sample.users) == SHARDS * USERS
    rows = sample.readings_of(sample.users.index("u-2-3"))
    assert sorted(sample.numbers["value"][rows]) == [n * SHARDS + 2 for n in range(3, 30, USERS)]
    assert sorted(sample.time[rows]) == sample.time[rows].tolist()
    assert np.isnan(sample.numbers["innovation"]).all()


def test_a_user_of_a_later_round_counts_with_those_results_alone(folder) -> None:
    again = line(1, "u-1-0", status="rejected", reason="outlier")
    put(folder, 1, 1, [again])
    put(folder, 0, 2, [line(2, "u-2-0", status="failed", reason="conflict")], failed=True)
    sample = read_sample(folder)
    assert sample is not None
    assert sorted(sample.position.tolist()) == list(range(SHARDS * USERS * READINGS))
    decisions = [sample.decisions[sample.decision[sample.position == n][0]] for n in (0, 1, 2)]
    assert decisions == [("accepted", None), ("rejected", "outlier"), ("failed", "conflict")]


def test_of_more_readings_whole_shards_are_read(folder) -> None:
    sample = read_sample(folder, most=70)
    assert sample is not None
    assert (sample.shards, sample.all_shards, sample.is_whole) == ([0, 1], SHARDS, False)
    assert {user.split("-")[1] for user in sample.users} == {"0", "1"}
    assert sample.position.size == 2 * USERS * READINGS


def test_of_a_shard_that_is_too_large_some_users_are_read_with_all_their_readings(folder) -> None:
    sample = read_sample(folder, most=10)
    assert sample is not None
    assert (sample.shards, sample.one_user_in) == ([0], 3)
    assert 0 < len(sample.users) < USERS
    assert sample.position.size == len(sample.users) * READINGS


def test_a_batch_that_ended_before_its_shards_has_no_sample(folder) -> None:
    assert read_sample(Folder(folder.objects, "batches/b/run-1")) is None


def test_a_record_without_user_or_time_is_read_too(folder) -> None:
    put(folder, 0, 0, [Result(0, None, None, None, None, "unreadable", "malformed")])
    sample = read_sample(folder)
    assert sample is not None
    row = np.flatnonzero(sample.position == 0)[0]
    assert (sample.user[row], str(sample.time[row])) == (-1, "NaT")
    assert sample.decisions[sample.decision[row]] == ("unreadable", "malformed")


def test_a_record_that_could_not_be_read_makes_no_user(folder) -> None:
    # The summary counts the users of readings, and so does the report.
    put(folder, 0, 0, [Result(0, "\x1b[2J", None, None, None, "unreadable", "malformed")])
    sample = read_sample(folder)
    assert sample is not None
    assert "\x1b[2J" not in sample.users
    assert sample.user[sample.position.tolist().index(0)] == -1


def test_a_shard_whose_users_were_forgotten_is_empty(folder, monkeypatch) -> None:
    put(folder, 0, 0, [])
    stream = folder.objects.stream_pinned

    def refuse_nothing(*range_):
        # As the local cloud does. moto answers with the whole object.
        assert range_[-1] > range_[-2], "InvalidRange"
        return stream(*range_)

    monkeypatch.setattr(folder.objects, "stream_pinned", refuse_nothing)
    sample = read_sample(folder)
    assert sample is not None
    assert len(sample.users) == (SHARDS - 1) * USERS
