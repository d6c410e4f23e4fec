"""Mappings: what is read under one, what is refused, and that it is part of a batch's identity."""

from datetime import UTC, datetime

import msgspec
import pytest

from kalmap.batch.identity import InputObject, identity, read_options
from kalmap.errors import InvalidInput, UnknownFormat
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.records.clocks import Clock
from kalmap.records.format_mapped import mapped_format
from kalmap.records.formats import detect_format
from kalmap.records.mapping import Mapping, check_mapping
from kalmap.records.parse import File, parse_files
from kalmap.records.time_zones import time_zone

PROFILE = builtin_profile("body-weight")
COLUMNS = {"timestamp": "t", "value": "v"}


def read(text, **fields):
    """What is parsed of a file under a mapping."""
    mapping = Mapping(**({"columns": COLUMNS, "user": "u"} | fields))
    data = text.encode()
    format_ = mapped_format("f.csv", data, mapping)
    return parse_files([File([data[format_.records_start :]], format_)], PROFILE)


def details(parsed):
    return [(record.line, record.reason, record.detail) for record in parsed.unreadable]


@pytest.mark.parametrize(
    ("dates", "text", "expected"),
    [
        ("iso", "2026-03-01T07:12:00+01:00", "2026-03-01T06:12:00"),
        ("iso", "2026-03-01 07:12:00 +0100", "2026-03-01T06:12:00"),
        ("iso", "20260304T080000Z", "2026-03-04T08:00:00"),
        ("iso", "2026-03-04T08:00Z", "2026-03-04T08:00:00"),
        ("iso", "2026-03-04T08:00:00+01", "2026-03-04T07:00:00"),
        ("iso", "2026-03-04 08:00:00 UTC", "2026-03-04T08:00:00"),
        ("iso", "2026-03-01 07:12:00", "2026-03-01T06:12:00"),
        ("iso", "2026-03-01T07:12:00.250", "2026-03-01T06:12:00.250000"),
        ("iso", "2026-03-01", "2026-02-28T23:00:00"),
        ("iso", "20260301", "2026-02-28T23:00:00"),
        ("iso", "2026/03/01 07:12", "2026-03-01T06:12:00"),
        ("iso", "2026.03.01. 7:12", "2026-03-01T06:12:00"),
        ("iso", "2026-07-01 07:12:00", "2026-07-01T05:12:00"),
        ("iso", "1 Mar 2026 07:12", "2026-03-01T06:12:00"),
        ("day_first", "01.03.2026 07:12", "2026-03-01T06:12:00"),
        ("day_first", "1/3/26 7:12", "2026-03-01T06:12:00"),
        ("day_first", "01-03-2026 07:12 AM", "2026-03-01T06:12:00"),
        ("day_first", "2026-03-01 07:12", "2026-03-01T06:12:00"),
        ("day_first", "1. März 2026, 07:12", "2026-03-01T06:12:00"),
        ("month_first", "03/01/2026 12:12 AM", "2026-02-28T23:12:00"),
        ("month_first", "03/01/2026, 07:12:30 PM", "2026-03-01T18:12:30"),
        ("month_first", "Mar 1, 2026 7:12 a.m.", "2026-03-01T06:12:00"),
        ("month_first", "03/01/2026 07:12:00 +0000", "2026-03-01T07:12:00"),
        ("unix_seconds", "1772345520", "2026-03-01T06:12:00"),
        ("unix_seconds", 1772345520.5, "2026-03-01T06:12:00.500000"),
        ("unix_milliseconds", "1772345520250", "2026-03-01T06:12:00.250000"),
        ("unix_milliseconds", 1772345520250, "2026-03-01T06:12:00.250000"),
        ("unix_microseconds", "1772345520250001", "2026-03-01T06:12:00.250001"),
        ("unix_nanoseconds", "1772345520250001499", "2026-03-01T06:12:00.250001"),
        ("unix_nanoseconds", 1772345520250001501, "2026-03-01T06:12:00.250002"),
    ],
)
def test_a_timestamp_is_read_as_it_is_written(dates, text, expected):
    read_ = Clock(dates, "Europe/Berlin").read(text).astimezone(UTC)
    assert read_ == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("dates", "text", "words"),
    [
        ("iso", "yesterday", "no date and time with the year first"),
        ("iso", "01.03.2026 07:12", "no date with the year first"),
        ("iso", "1772345520", "say unix_seconds or the like"),
        ("iso", 1772345520, "is the number 1772345520"),
        ("day_first", "03/31/2026", "with the day first is no date and time that exists"),
        ("day_first", "31.02.2026", "exists"),
        ("month_first", "01/01/2026 13:00 PM", "whose hour does not exist"),
        ("day_first", "1 xyz 2026", "whose month is not known"),
        ("unix_seconds", "noon", "no number of seconds since 1970"),
        ("unix_seconds", 1e30, "outside the years 1 to 9999"),
        ("unix_seconds", float("nan"), "outside the years"),
        ("unix_milliseconds", True, "is no number"),
    ],
)
def test_a_wrong_timestamp_gets_a_sentence_with_what_was_found(dates, text, words):
    with pytest.raises(ValueError, match=words):
        Clock(dates, "UTC").read(text)


def test_a_time_without_an_offset_needs_a_time_zone():
    with pytest.raises(ValueError, match=r"no offset from UTC.*source\.mapping\.tz"):
        Clock("iso", None).read("2026-03-01 07:12:00")


def test_a_time_that_the_clock_skips_or_repeats_is_read_one_way():
    clock = Clock("iso", "Europe/Berlin")
    repeated = clock.read("2026-10-25 02:30:00").astimezone(UTC)
    assert repeated == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    skipped = clock.read("2026-03-29 02:30:00").astimezone(UTC)
    assert skipped == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "", "Europe", "Mars/Olympus", "/UTC", "__init__.py"]
)
def test_what_is_no_time_zone_is_none(name):
    assert time_zone(name) is None


@pytest.mark.parametrize(
    ("cell", "decimal", "value", "unit"),
    [
        ("81.4", ".", 81.4, None),
        (" 81,4 ", ",", 81.4, None),
        ("-0.5", ".", -0.5, None),
        ("\u22120.5", ".", -0.5, None),
        ("1e2", ".", 100.0, None),
        ("80.5 kg", ".", 80.5, "kg"),
        ("179.5lbs", ".", 179.5, "lbs"),
        ("80,5\u00a0kg", ",", 80.5, "kg"),
    ],
)
def test_a_number_may_have_its_unit_behind_it(cell, decimal, value, unit):
    mapping = Mapping(columns=COLUMNS, user="u", tz="UTC", decimal=decimal, delimiter=";")
    format_ = mapped_format("f", b"t;v\n", mapping)
    [block] = format_.blocks([f"2026-03-01;{cell}".encode()])
    [measurement] = block.decoded().measurements
    assert (measurement.value, measurement.unit) == (value, unit)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("heavy", "value (v) is 'heavy', which is not a number."),
        ("1.234,5", "value (v) is '1.234,5', which is not a number."),
        ("81,4", "no number with a decimal point"),
        ("nan", "not a number"),
        ("1e999", "not finite"),
        ("8_1", "not a number"),
        ("٨١", "not a number"),
        ("81 bananas", "unit 'bananas' cannot be converted to kg"),
        ("", "value (v) is empty."),
    ],
)
def test_a_wrong_value_is_named_with_its_column(cell, words):
    parsed = read(f"t;v\n2026-03-01;{cell}\n2026-03-02;80\n", tz="UTC", delimiter=";")
    [(line, _, detail)] = details(parsed)
    assert line == 1
    assert words in detail
    assert parsed.value.tolist() == [80.0]


def test_rows_with_other_numbers_of_cells_are_malformed_and_empty_rows_are_no_records():
    parsed = read("t,v\n2026-03-01,80\n2026-03-02\n,\n\n2026-03-03,80,1\n", tz="UTC")
    assert parsed.records == 3
    assert details(parsed) == [
        (2, Reason.MALFORMED, "The line has 1 columns, the header 2."),
        (5, Reason.MALFORMED, "The line has 3 columns, the header 2."),
    ]


def test_a_quoted_cell_may_hold_the_delimiter_but_no_line_end():
    parsed = read('t,v,n\n"2026-03-01","80","a, b"\n2026-03-02,81,"a\nb"\n', tz="UTC")
    assert parsed.value.tolist() == [80.0]
    assert [record.line for record in parsed.unreadable] == [2, 3]


def test_rows_without_a_value_are_no_records_where_the_mapping_says_so():
    text = "t,v\n2026-03-01,80\n2026-03-02,\n"
    assert details(read(text, tz="UTC")) == [(2, Reason.MISSING_FIELD, "value (v) is empty.")]
    assert read(text, tz="UTC", skip_empty=True).records == 1


def test_numeric_ids_are_text_and_keep_every_digit():
    lines = '{"id": 12345678901234567890, "t": "2026-03-01T00:00:00Z", "v": "80"}\n{"id": true}\n'
    parsed = read(lines, columns=COLUMNS | {"user_id": "id"}, user=None, layout="jsonl")
    assert parsed.users == ["12345678901234567890"]
    assert details(parsed)[0][2] == "user_id (id) is neither text nor a whole number."


def test_bytes_that_are_no_text_in_the_encoding_are_malformed():
    mapping = Mapping(columns=COLUMNS, user="u", tz="UTC", encoding="utf-16-le")
    data = "t,v\n2026-03-01,80\n".encode("utf-16-le") + b"\x00\xd8\x2c\x00" + b"\x0a\x00"
    format_ = mapped_format("f", data, mapping)
    parsed = parse_files([File([data[format_.records_start :]], format_)], PROFILE)
    assert parsed.records == 2
    assert [record.reason for record in parsed.unreadable] == [Reason.MALFORMED]


def test_a_column_that_a_file_lacks_is_named_with_those_that_it_has():
    mapping = Mapping(columns={"timestamp": "Date", "value": "Weight"}, user="u")
    with pytest.raises(UnknownFormat, match=r"a\.csv has no column 'Weight'.*Date, kg\."):
        detect_format("a.csv", b"Date,kg\n2026-03-01,80\n", mapping)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"columns": {"value": "v"}}, "columns", "lacks timestamp"),
        ({"columns": COLUMNS | {"weight": "v"}}, "columns", "a record's fields are user_id"),
        ({"columns": COLUMNS | {"unit": ""}}, "columns", "names no column for unit"),
        ({"user": None}, "", "either a column of user ids"),
        ({"columns": COLUMNS | {"user_id": "u"}}, "", "either a column of user ids"),
        ({"user": " "}, "user", "must have 1 to 128 bytes"),
        ({"user": "a\nb"}, "user", "control character"),
        ({"tz": "Berlin"}, "tz", "'Berlin', which is no time zone"),
        ({"skip": -1}, "skip", "from 0 to 100"),
        ({"only": {"a": ["x" * 5000]}}, "", "more than 4,096 bytes"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_field(change, field, words):
    mapping = {"columns": COLUMNS, "user": "u"} | change
    source = {"bucket": "b", "key": "k", "mapping": {k: v for k, v in mapping.items() if v}}
    with pytest.raises(InvalidInput, match=words) as refused:
        read_options({"source": source})
    assert refused.value.field == f"source.mapping.{field}".rstrip(".")


@pytest.mark.parametrize(
    "mapping", [{}, {"columns": COLUMNS, "user": "u", "delimiter": "x"}, {"x": 1}, 7]
)
def test_a_mapping_of_another_form_is_refused_with_a_sentence(mapping):
    with pytest.raises(InvalidInput, match=r"source\.mapping|mapping"):
        read_options({"source": {"bucket": "b", "key": "k", "mapping": mapping}})


def test_a_mapping_is_for_files():
    source = {"records": [{}], "mapping": {"columns": COLUMNS, "user": "u"}}
    with pytest.raises(InvalidInput, match=r"source\.mapping is for files"):
        read_options({"source": source})


def test_without_a_mapping_a_batch_has_the_same_id_as_before_there_were_any():
    plain = read_options({"source": {"bucket": "b", "key": "k"}})
    objects = [InputObject("b", "k", 5, "etag", "v1")]
    assert identity(objects, bytes(range(32)), plain) == "e303685075863c67a36ca56b3134f09c"


def test_each_mapping_is_a_batch_of_its_own():
    batch = read_options({"source": {"bucket": "b", "key": "k"}})
    objects = [InputObject("b", "k", 5, "etag", "v1")]
    mappings = [
        None,
        Mapping(columns={"timestamp": "t", "value": "v"}, user="u"),
        Mapping(columns={"timestamp": "t", "value": "v"}, user="u", decimal=","),
        Mapping(columns={"timestamp": "t", "value": "v"}, user="w"),
    ]
    ids = {identity(objects, b"", batch, mapping) for mapping in mappings}
    assert len(ids) == len(mappings)
    swapped = Mapping(columns={"value": "v", "timestamp": "t"}, user="u", delimiter=",")
    assert identity(objects, b"", batch, swapped) == identity(objects, b"", batch, mappings[1])


def test_a_stored_mapping_is_read_back_as_it_was():
    mapping = Mapping(columns={"timestamp": ["a", "b"], "value": "v"}, user="u", tz="UTC")
    check_mapping(mapping)
    format_ = mapped_format("f", b"a,b,v\n", mapping)
    assert msgspec.json.decode(msgspec.json.encode(format_), type=type(format_)) == format_
