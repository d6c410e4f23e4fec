"""Shards: a user is in one, and every reading gets its position in the input back."""

import json
import tracemalloc
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kalmap.filter.decisions import failed_decisions
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.records.shards import (
    CHUNK_START,
    SLICE_LOCATION,
    assemble,
    chunk_starts,
    route,
    shard_of,
    slice_locations,
)
from kalmap.results.lines import (
    encode,
    encode_measurements,
    encode_unreadable,
    iso_timestamps,
)
from kalmap.results.merge import merge, result_keys

PROFILE = builtin_profile("body-weight")
_RECORD = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from([f"u{n}" for n in range(12)]),
        "timestamp": st.sampled_from([f"2026-03-{n:02d}T07:00:00Z" for n in range(1, 9)]),
        "value": st.sampled_from([80.0, 81.0, "bad"]),
        "source": st.sampled_from([None, "scale", "attic"]),
        "measurement_id": st.sampled_from([None, "m1", "m2"]),
    }
)
_CHUNKS = st.lists(st.lists(_RECORD, max_size=10), min_size=1, max_size=4)


def encoded(records):
    return b"\n".join(json.dumps(record).encode() for record in records)


def sharded(chunks, shards):
    """Route chunks and assemble every shard again."""
    routed = [
        route(parse([encoded(records)], Jsonl(), PROFILE), number, shards)
        for number, records in enumerate(chunks)
    ]
    reports = [report for _, report in routed]
    starts = np.frombuffer(
        chunk_starts([report.records for report in reports], [0] * len(chunks)), CHUNK_START
    )
    locations, ends = slice_locations(np.array([report.lengths for report in reports], np.uint32))
    assembled = []
    for start, end in zip([0, *ends], ends, strict=False):
        slices = [
            (chunk, *starts[chunk].tolist(), routed[chunk][0][at : at + length])
            for chunk, at, length in np.frombuffer(locations[start:end], SLICE_LOCATION).tolist()
        ]
        if slices:
            assembled.append(assemble(slices, PROFILE))
    return assembled


@given(_CHUNKS, st.integers(1, 9))
def test_every_record_comes_back_once_with_its_index_for_any_number_of_shards(chunks, shards):
    records = [record for chunk in chunks for record in chunk]
    indexes = Counter()
    users = Counter()
    for shard in sharded(chunks, shards):
        users.update(shard.users)
        for row, index in enumerate(shard.readings.index.tolist()):
            record = records[index]
            indexes[index] += 1
            assert shard.users[shard.readings.user[row]] == record["user_id"]
            assert shard.readings.value[row] == record["value"]
            assert shard.ids[row] == record["measurement_id"]
            assert shard.sources[row] == record["source"]
            assert shard.readings.source[row] == PROFILE.source_code(record["source"])
        for record in shard.unreadable:
            indexes[record.index] += 1
            assert records[record.index]["value"] == "bad"
    assert indexes == Counter(range(len(records)))
    assert set(users.values()) <= {1}


def test_the_locations_of_many_slices_take_little_memory():
    lengths = np.random.default_rng(1).integers(1, 4000, (2000, 500), dtype=np.uint32)
    tracemalloc.start()
    locations, ends = slice_locations(lengths)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ends[-1] == len(locations) == lengths.size * SLICE_LOCATION.itemsize
    # PlanShards holds twenty million of them, and its Lambda 1,024 MB.
    assert peak < 24 * lengths.size


@given(st.text(min_size=1), st.integers(1, 10_000))
def test_a_users_shard_depends_only_on_the_id(user, shards):
    assert 0 <= shard_of(user, shards) < shards
    assert shard_of(user, shards) == shard_of(user, shards)


def test_users_spread_evenly_over_shards():
    counts = Counter(shard_of(f"user-{n}", 16) for n in range(16_000))
    assert max(counts.values()) < 1.15 * 1000
    assert shard_of("user-1", 16) == 2  # for ever: stored plans depend on it


def test_only_the_selected_users_are_assembled():
    chunk = [
        {"user_id": user, "timestamp": "2026-03-01T07:00:00Z", "value": 80} for user in "abcab"
    ]
    data, _ = route(parse([encoded(chunk)], Jsonl(), PROFILE), 0, 1)
    shard = assemble([(0, 10, 0, data)], PROFILE, {"b", "c"})
    assert sorted(shard.users) == ["b", "c"]
    assert shard.readings.index.tolist() == [11, 12, 14]


class Bucket:
    """The methods of the S3 adapter that merging needs, over a dict."""

    def __init__(self, objects):
        self.objects = objects

    def keys(self, prefix):
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))

    def lines(self, key):
        return iter(self.objects[key].splitlines())


@given(_CHUNKS, st.integers(1, 5))
def test_results_merge_into_input_order_and_a_later_round_replaces_an_earlier_one(chunks, shards):
    objects = {}
    expected = {}
    for number, shard in enumerate(sharded(chunks, shards)):
        decisions = failed_decisions(len(shard.ids), Reason.SHARD_FAILED)
        objects[f"b/round-0/results/{number:06d}.jsonl"] = encode(shard, decisions)
        expected |= {record.index: "malformed" for record in shard.unreadable}
        expected |= dict.fromkeys(shard.readings.index.tolist(), "shard_failed")
        for round_, reason, suffix in (
            (2, Reason.CONFLICT, ""),
            (10, Reason.USER_FAILED, ""),
            (10, Reason.TIMED_OUT, ".failed"),
        ):
            rows = np.arange(len(shard.ids))[:: round_ + len(suffix)]
            decisions = failed_decisions(len(shard.ids), reason)
            lines = encode(shard, decisions, rows)
            objects[f"b/round-{round_}/results/{number:06d}{suffix}.jsonl"] = lines
            expected |= dict.fromkeys(shard.readings.index[rows].tolist(), reason.label)
    merged = [
        json.loads(line) for line in merge(Bucket(objects), result_keys(Bucket(objects), "b"))
    ]
    assert [line["index"] for line in merged] == list(range(sum(map(len, chunks))))
    for line in merged:
        if line["status"] == "unreadable":
            assert line["reason"] == "bad_value"
        else:
            assert line["reason"] == expected[line["index"]]


def test_every_line_that_is_merged_begins_with_its_index():
    sound = {"user_id": "a", "timestamp": "2026-03-01T07:00:00Z", "value": 80}
    [shard] = sharded([[sound, sound | {"value": "bad"}]], 1)
    results = encode(shard, failed_decisions(1, Reason.CONFLICT))
    unreadable = encode_unreadable(shard.unreadable, [["a file"]])
    starts = [line[:11] for line in (results + unreadable).splitlines()]
    assert starts == [b'{"index":0,', b'{"index":1,', b'{"index":1,']


def test_a_result_line_has_every_field_in_order_and_null_where_nothing_was_folded():
    chunk = [{"user_id": "a", "timestamp": "2026-03-01T07:00:00.5+01:00", "value": 80}]
    [shard] = sharded([chunk], 1)
    [line] = encode(shard, failed_decisions(1, Reason.CORRUPT_STATE)).splitlines()
    assert json.loads(line) == {
        "index": 0, "user_id": "a", "measurement_id": None,
        "timestamp": "2026-03-01T06:00:00.500000Z", "value": 80.0, "status": "failed",
        "reason": "corrupt_state", "level": None, "level_sd": None, "slope": None,
        "predicted": None, "innovation": None, "nis": None, "quality": None,
        "restarted": False,
    }  # fmt: skip


def test_timestamps_are_written_to_the_microsecond_before_1970_too():
    assert iso_timestamps(np.array([0, -1, 1_500_000])) == [
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:01.500000Z",
    ]


def test_measurements_written_for_a_retry_have_the_same_keys():
    chunk = [
        {"user_id": "a", "timestamp": "2026-03-01T07:00:00.25Z", "value": 180.1, "unit": "lb"},
        {"user_id": "a", "timestamp": "2026-03-01T07:00:00Z", "value": 80.1, "source": "attic"},
        {"user_id": "b", "timestamp": "2026-03-01T07:00:00Z", "value": 1, "measurement_id": "m"},
    ]
    [shard] = sharded([chunk], 1)
    lines = encode_measurements(shard, np.arange(3), PROFILE)
    [again] = [assemble([(0, 0, 0, route(parse([lines], Jsonl(), PROFILE), 0, 1)[0])], PROFILE)]
    for name in ("time", "value", "source", "tag", "hash"):
        np.testing.assert_array_equal(getattr(shard.readings, name), getattr(again.readings, name))
