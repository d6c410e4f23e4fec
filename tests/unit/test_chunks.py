"""Chunks: every line belongs to exactly one, for any cuts."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.batch.chunks import (
    PACKED_BYTES,
    SourceObject,
    split_into_chunks,
)
from kalmap.records.format_csv import Csv
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.measurement import MAX_LINE_BYTES


def source(size, records_start=0, gzipped=False):
    return SourceObject(
        "b", "k", size, "etag", format=Jsonl(records_start=records_start), gzipped=gzipped
    )


def pieces(data, chunk_bytes, records_start=0):
    item = source(len(data), records_start)
    return [
        b"".join(item.format.read_range(start, end, len(data), lambda a, b: data[a:b]))
        for chunk in split_into_chunks([item], chunk_bytes)
        for _, start, end in chunk.pieces
    ]


@given(st.lists(st.binary(max_size=12)), st.integers(1, 40), st.booleans())
def test_the_chunks_lines_together_are_the_object_and_none_is_cut(lines, chunk_bytes, ends):
    lines = [line.replace(b"\n", b"") for line in lines]
    data = b"\n".join(lines) + b"\n" * ends
    read = pieces(data, chunk_bytes)
    assert b"".join(read) == data
    assert all(piece.endswith(b"\n") for piece in [p for p in read if p][:-1])


@given(st.lists(st.binary(max_size=12)), st.integers(1, 40))
def test_a_header_belongs_to_no_chunk(lines, chunk_bytes):
    body = b"\n".join(line.replace(b"\n", b"") for line in lines)
    assert b"".join(pieces(b"user_id,value\n" + body, chunk_bytes, records_start=14)) == body


@pytest.mark.parametrize("length", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, 5 * MAX_LINE_BYTES])
def test_a_very_long_line_is_one_line_of_one_chunk(length):
    data = b"a\n" + b"x" * length + b"\nb\n"
    read = pieces(data, 1000)
    lines = [line for piece in read for line in piece.splitlines()]
    assert [line[:1] for line in lines] == [b"a", b"x", b"b"]
    assert len(lines[1]) == length if length <= MAX_LINE_BYTES else len(lines[1]) > MAX_LINE_BYTES


def test_a_gzipped_object_is_one_chunk():
    assert len(split_into_chunks([source(10_000, gzipped=True)], 10)) == 1


@settings(deadline=None)
@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=5), st.integers(1, 3000))
def test_chunks_cover_each_object_in_order_without_gap(sizes, chunk_bytes):
    chunks = split_into_chunks([source(size) for size in sizes], chunk_bytes)
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    read = [piece for chunk in chunks for piece in chunk.pieces]
    assert [p.object for p in read if p.start == 0] == [source(size) for size in sizes]
    assert sum(piece.end - piece.start for piece in read) == sum(sizes)
    assert len(chunks) <= sum(math.ceil(size / chunk_bytes) for size in sizes)


def test_small_objects_share_a_chunk_in_their_order_and_large_ones_have_their_own():
    sizes = [1000] * 5 + [PACKED_BYTES + 1] + [1000] * 3 + [PACKED_BYTES // 2] * 3
    chunks = split_into_chunks([source(size) for size in sizes], 4 * PACKED_BYTES)
    assert [len(chunk.pieces) for chunk in chunks] == [5, 1, 3 + 1, 2]
    read = [(p.start, p.end) for chunk in chunks for p in chunk.pieces]
    assert read == [(0, size) for size in sizes]


def test_gzipped_objects_share_a_chunk_only_if_they_are_small_when_inflated():
    small, large = source(1000, gzipped=True), source(PACKED_BYTES // 2, gzipped=True)
    chunks = split_into_chunks([small, small, large, large], 4 * PACKED_BYTES)
    assert [len(chunk.pieces) for chunk in chunks] == [2, 1, 1]


def test_ten_thousand_small_objects_are_few_chunks_that_fit_a_payload():
    format_ = Csv(columns=["user_id", "timestamp", "value"])
    objects = [
        SourceObject(
            "bucket", f"exports/2026/03/{n:06d}.csv", 900, "e" * 32, "v" * 32, format=format_
        )
        for n in range(10_000)
    ]
    chunks = split_into_chunks(objects, 4 * PACKED_BYTES)
    assert len(chunks) < 100
    assert max(len(msgspec.json.encode(chunk)) for chunk in chunks) < 100_000
