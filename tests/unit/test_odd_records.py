"""Odd lines that fuzzing found: each means the same alone and among others, and none raises."""

import json

import pytest

from kalmap.filter.decisions import failed_decisions
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.records import conversion, line_format
from kalmap.records.format_csv import Csv, column_names
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.records.shards import assemble, route
from kalmap.results.lines import encode, encode_unreadable

PROFILE = builtin_profile("body-weight")
SOUND = json.dumps({"user_id": "u", "timestamp": "2026-03-01T00:00:00Z", "value": 80}).encode()


def read(*lines: bytes):
    return parse([b"\n".join(lines)], Jsonl(), PROFILE)


@pytest.mark.parametrize("field", ["user_id", "timestamp", "unit", "source", "measurement_id", "x"])
def test_half_a_surrogate_pair_is_malformed_in_every_field(field):
    record = json.loads(SOUND) | {field: "\ud800"}
    parsed = read(json.dumps(record).encode(), SOUND)
    assert [record.reason for record in parsed.unreadable] == [Reason.MALFORMED]
    slices, _ = route(parsed, 0, 1)
    shard = assemble([(0, 0, 0, slices)], PROFILE)
    assert encode(shard, failed_decisions(1, Reason.TIMED_OUT)).count(b"\n") == 2
    assert encode_unreadable(shard.unreadable, ["f"])


def test_a_whole_surrogate_pair_is_a_character():
    record = json.dumps(json.loads(SOUND) | {"user_id": "\U0001f469"}).encode()
    assert b"\\ud83d" in record
    assert read(record).users == ["\U0001f469"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_two_objects_on_a_line_are_one_malformed_record(end):
    for lines in ([SOUND + SOUND], [SOUND + b" " + SOUND, b""], [SOUND, SOUND + SOUND, b"", SOUND]):
        parsed = parse([(end or b"\n").join(lines) + end], Jsonl(), PROFILE)
        assert [record.reason for record in parsed.unreadable] == [Reason.MALFORMED]
        assert parsed.records == sum(bool(line) for line in lines)


def test_an_object_over_two_lines_is_two_malformed_records():
    parsed = read(*SOUND.replace(b', "value"', b',\n"value"').split(b"\n"))
    assert [record.reason for record in parsed.unreadable] == [Reason.MALFORMED] * 2


def test_invalid_utf_8_is_malformed_even_in_an_ignored_field():
    parsed = read(SOUND.replace(b'"value"', b'"x\xae": 1, "value"'))
    assert [record.reason for record in parsed.unreadable] == [Reason.MALFORMED]


def test_a_line_that_csv_cannot_read_is_no_header():
    assert column_names(b"user_id,times\rtamp,value") == []


@pytest.mark.parametrize("columns", [[], ["user_id", "measurement_id", "timestamp", "value"]])
@pytest.mark.parametrize(
    ("module", "function"), [(line_format, "measurement_of"), (conversion.hashlib, "blake2b")]
)
def test_a_record_that_raises_anywhere_fails_alone(monkeypatch, module, function, columns):
    real = getattr(module, function)

    def failing_for_m_7(argument, **options):
        if argument == b"m-7" or (
            isinstance(argument, dict) and argument["measurement_id"] == "m-7"
        ):
            raise ZeroDivisionError
        return real(argument, **options)

    monkeypatch.setattr(module, function, failing_for_m_7)
    line = {"timestamp": "2026-03-01T00:00:00Z", "value": 80}
    # The first line has the block read line by line.
    lines = [json.dumps(line | {"user_id": "u", "measurement_id": f"m-{n}"}) for n in range(20)]
    if columns:
        lines = [f"u,m-{n},2026-03-01T00:00:00Z,80" for n in range(20)]
    data = "\n".join(["?", *lines]).encode()
    parsed = parse([data], Csv(columns=columns) if columns else Jsonl(), PROFILE)
    assert sorted((record.ordinal, record.line) for record in parsed.unreadable) == [(0, 1), (8, 9)]
    assert [name for name in parsed.ids if name] == [f"m-{n}" for n in range(20) if n != 7]
    assert parsed.ordinal.tolist() == [n + 1 for n in range(20) if n != 7]


def test_a_lack_of_memory_is_not_blamed_on_a_record(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    for module, function in ((conversion, "microseconds_of"), (line_format, "measurement_of")):
        with monkeypatch.context() as patched:
            patched.setattr(module, function, no_memory)
            with pytest.raises(MemoryError):
                read(b"?", SOUND, b"")
