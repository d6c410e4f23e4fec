"""Gzipped objects are read as gunzip reads them, and never inflate beyond the limits."""

import gzip
import random
import time
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kalmap.batch.chunks import MAX_GZIP_BYTES
from kalmap.batch.inflate import check_gzip_size, inflate
from kalmap.errors import InvalidInput
from kalmap.profile import builtin_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse

LINE = b'{"user_id": "u", "timestamp": "2026-03-01T07:12:00Z", "value": 81.4}\n'


def parts_of(data, size=1 << 20):
    return (data[at : at + size] for at in range(0, len(data), size))


@given(st.lists(st.binary(max_size=100), min_size=1), st.integers(1, 50), st.integers(0, 40))
@example(contents=[b"a", b"b"], size=1, zeros=3)
def test_members_and_zeros_between_them_inflate_to_their_contents(contents, size, zeros):
    data = b"".join(gzip.compress(content) + b"\0" * zeros for content in contents)
    notes = []
    assert b"".join(inflate(parts_of(data, size), "k", notes)) == b"".join(contents)
    assert notes == []


@given(st.binary(min_size=1, max_size=60), st.integers(1, 50), st.integers(0, 3))
@example(garbage=b"\x1f", size=1, zeros=0)
def test_bytes_after_the_content_are_ignored_and_noted(garbage, size, zeros):
    garbage = b"\0" * zeros + garbage.lstrip(b"\0")
    if garbage.lstrip(b"\0").startswith(b"\x1f\x8b") or not garbage.strip(b"\0"):
        return
    notes = []
    parts = parts_of(gzip.compress(LINE) + garbage, size)
    assert b"".join(inflate(parts, "a.gz", notes)) == LINE
    [note] = notes
    assert note.startswith("a.gz has bytes behind")


@pytest.mark.parametrize(
    ("damage", "word"),
    [(lambda data: data[:-5], "truncated"), (lambda data: data[:15] + b"?" + data[16:], "corrupt")],
)
def test_damaged_gzip_is_refused_with_the_reason(damage, word):
    data = damage(gzip.compress(bytes(range(256)) * 10))
    with pytest.raises(InvalidInput, match=word):
        list(inflate(iter([data]), "k"))
    with pytest.raises(InvalidInput, match=word):
        list(inflate(iter([gzip.compress(LINE) + data]), "k"))


def bomb(unit, megabytes):
    """Much of the same, gzipped, after a sound line."""
    packer = zlib.compressobj(9, wbits=31)
    packed = [packer.compress(LINE)]
    packed += [packer.compress(unit * (2**20 // len(unit))) for _ in range(megabytes)]
    return b"".join([*packed, packer.flush()])


@pytest.mark.parametrize("unit", [b"\0", b"\n", b" \n", LINE])
def test_a_gzip_bomb_is_refused_before_it_is_inflated(unit):
    data = bomb(unit, 24)
    assert len(data) < 2**17
    sizes = []
    with pytest.raises(InvalidInput, match=r"250 times its size|6,000,000 lines"):
        sizes.extend(map(len, inflate(parts_of(data), "a.gz")))
    assert sum(sizes) <= 16 * 2**20


def test_blank_lines_cost_next_to_nothing():
    began = time.process_time()
    parsed = parse([b"\n" * 2**20] * 64, Jsonl(), builtin_profile("body-weight"))
    assert (parsed.records, parsed.lines) == (0, 2**26)
    assert time.process_time() - began < 2


def test_a_line_without_end_is_refused():
    noise = random.Random(1).randbytes(17 * 2**20).replace(b"\n", b"?")
    with pytest.raises(InvalidInput, match="a line of more than 16,777,216 bytes"):
        list(inflate(parts_of(gzip.compress(LINE + noise, 1)), "a.gz"))


def test_a_gzipped_object_must_fit_a_worker():
    check_gzip_size("a.gz", MAX_GZIP_BYTES)
    with pytest.raises(InvalidInput, match="Split it"):
        check_gzip_size("a.gz", MAX_GZIP_BYTES + 1)


def test_a_gzipped_object_of_too_many_lines_is_refused_before_they_are_in_memory(monkeypatch):
    monkeypatch.setattr("kalmap.batch.inflate.MAX_GZIP_LINES", 1000)
    assert len(list(inflate(iter([gzip.compress(b"x\n" * 1000)]), "k"))) == 1
    with pytest.raises(InvalidInput, match="k has more than 1,000 lines"):
        list(inflate(iter([gzip.compress(b"x\n" * 1001)]), "k"))
