"""Parsing: every record ends among the columns or among the unreadable ones, with its position."""

import gzip
import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kalmap.errors import UnknownFormat
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.records.format_csv import Csv
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.formats import AnyFormat, detect_format
from kalmap.records.gzipped import inflate_head
from kalmap.records.parse import parse

PROFILE = builtin_profile("body-weight")
GOOD = {"user_id": "u", "timestamp": "2026-03-01T07:12:00+01:00", "value": 81.4}
GOOD_LINE = json.dumps(GOOD).encode()


def lines(*records):
    return [b"\n".join(r if isinstance(r, bytes) else json.dumps(r).encode() for r in records)]


def jsonl(*records):
    return parse(lines(*records), Jsonl(), PROFILE)


@pytest.mark.parametrize(
    ("record", "reason", "word"),
    [
        (b"{", Reason.MALFORMED, "not JSON"),
        (b"[1]", Reason.MALFORMED, "not an object"),
        (b'"text"', Reason.MALFORMED, "not an object"),
        (b"[" * 5000, Reason.MALFORMED, "not JSON"),
        (b'{"user_id": "\xff"}', Reason.MALFORMED, "UTF-8"),
        (GOOD | {"note": "x" * 70_000}, Reason.MALFORMED, "bytes"),
        (GOOD | {"user_id": 17}, Reason.MALFORMED, "user_id"),
        (GOOD | {"user_id": "é" * 65}, Reason.MALFORMED, "user_id"),
        (GOOD | {"user_id": "a\u0007b"}, Reason.MALFORMED, "user_id"),
        (GOOD | {"user_id": "\ud800"}, Reason.MALFORMED, ""),
        (GOOD | {"measurement_id": "m" * 129}, Reason.MALFORMED, "measurement_id"),
        (GOOD | {"source": 3}, Reason.MALFORMED, "source"),
        ({"timestamp": GOOD["timestamp"], "value": 1}, Reason.MISSING_FIELD, "user_id"),
        (GOOD | {"user_id": ""}, Reason.MISSING_FIELD, "user_id"),
        (GOOD | {"timestamp": None}, Reason.MISSING_FIELD, "timestamp"),
        (GOOD | {"timestamp": "2026-03-01T07:12:00"}, Reason.BAD_TIMESTAMP, "offset"),
        (GOOD | {"timestamp": "yesterday"}, Reason.BAD_TIMESTAMP, "ISO 8601"),
        (GOOD | {"timestamp": "2026-02-30T00:00:00Z"}, Reason.BAD_TIMESTAMP, "exists"),
        (GOOD | {"timestamp": 1772345520}, Reason.BAD_TIMESTAMP, "ISO 8601"),
        (GOOD | {"timestamp": "0001-01-01T00:00:00+23:59"}, Reason.BAD_TIMESTAMP, "years 1 to"),
        (GOOD | {"timestamp": "9999-12-31T23:59:59-00:01"}, Reason.BAD_TIMESTAMP, "years 1 to"),
        (GOOD | {"value": "81.4"}, Reason.BAD_VALUE, "number"),
        (GOOD | {"value": True}, Reason.BAD_VALUE, "number"),
        (GOOD | {"value": float("nan")}, Reason.BAD_VALUE, "finite"),
        (GOOD | {"value": float("-inf")}, Reason.BAD_VALUE, "finite"),
        (GOOD_LINE.replace(b"81.4", b"1e999"), Reason.BAD_VALUE, "finite"),
        (GOOD_LINE.replace(b"81.4", b"1" * 400), Reason.BAD_VALUE, "finite"),
        (GOOD_LINE.replace(b"81.4", b"-" + b"1" * 5000), Reason.BAD_VALUE, "finite"),
        (GOOD | {"value": 1.7e308, "unit": "st"}, Reason.BAD_VALUE, "finite"),
        (GOOD | {"unit": "parsec"}, Reason.UNKNOWN_UNIT, "parsec"),
        (GOOD | {"unit": "cm"}, Reason.UNKNOWN_UNIT, "kg"),
    ],
)
def test_an_unreadable_record_is_named_with_its_line_and_the_rest_is_read(record, reason, word):
    parsed = jsonl(GOOD, b"", record, GOOD | {"user_id": "v"})
    assert parsed.ordinal.tolist() == [0, 2]
    assert [(r.ordinal, r.line, r.reason) for r in parsed.unreadable] == [(1, 3, reason)]
    assert word in parsed.unreadable[0].detail
    assert parsed.unreadable[0].detail.endswith(".")
    assert (parsed.records, parsed.lines) == (3, 4)


def test_values_are_converted_to_the_profiles_unit_and_equal_values_get_equal_keys():
    parsed = jsonl(GOOD, GOOD | {"value": 180.0, "unit": "lb"}, GOOD | {"unit": "kg"})
    assert parsed.value[1] == pytest.approx(81.6466266)
    assert parsed.hash[0] == parsed.hash[2] != parsed.hash[1]


def test_a_key_is_made_from_the_measurement_id_if_there_is_one():
    parsed = jsonl(
        GOOD | {"measurement_id": "m"}, GOOD | {"measurement_id": "m", "value": 70}, GOOD
    )
    assert parsed.tag.tolist() == [1, 1, 0]
    assert parsed.hash[0] == parsed.hash[1] != parsed.hash[2]
    assert parsed.ids == ["m", "m", None]


def test_readings_of_different_sources_have_different_keys_even_if_the_profile_lacks_them():
    parsed = jsonl(GOOD | {"source": "a"}, GOOD | {"source": "b"}, GOOD)
    assert len(set(parsed.hash.tolist())) == 3


def test_minus_zero_is_zero():
    parsed = jsonl(GOOD | {"value": 0.0}, GOOD_LINE.replace(b"81.4", b"-0.0"))
    assert parsed.hash[0] == parsed.hash[1]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_either_kind_of_line_end_change_nothing(bom, ending):
    data = bom + ending.join([GOOD_LINE, GOOD_LINE]) + ending
    assert parse([data], Jsonl(), PROFILE).records == 2
    text = bom + b"user_id,timestamp,value" + ending + b"u,2026-03-01T07:12:00Z,81.4" + ending
    format_ = detect_format("x.csv", text)
    assert format_.header_lines == 1
    parsed = parse([text[format_.records_start :]], format_, PROFILE)
    assert parsed.value.tolist() == [81.4]


def test_csv_reads_the_same_as_jsonl():
    columns = ["value", "comment", "timestamp", "user_id", "unit", "source", "measurement_id"]
    row = b'81.4,"a, b",2026-03-01T07:12:00+01:00, u ,,scale,m'
    from_csv = parse([row], Csv(columns=columns), PROFILE)
    from_json = jsonl(GOOD | {"source": "scale", "measurement_id": "m"})
    for name in ("users", "sources", "time", "value", "tag", "hash", "ids"):
        assert list(getattr(from_csv, name)) == list(getattr(from_json, name))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"u,2026-03-01T07:12:00Z", Reason.MALFORMED),
        (b"u,2026-03-01T07:12:00Z,1,2", Reason.MALFORMED),
        (b'u,2026-03-01T07:12:00Z,"1', Reason.MALFORMED),
        (b"u,2026-03-01T07:12:00Z,nan", Reason.BAD_VALUE),
        (b"u,2026-03-01T07:12:00Z,1e999", Reason.BAD_VALUE),
        (b"u,2026-03-01T07:12:00Z,eighty", Reason.BAD_VALUE),
        (b"u,2026-03-01T07:12:00Z,8_1", Reason.BAD_VALUE),
        ("u,2026-03-01T07:12:00Z,\uff18\uff11".encode(), Reason.BAD_VALUE),
        (b"u,2026-03-01T07:12:00Z,", Reason.MISSING_FIELD),
        (b"u,2026-03-01,1", Reason.BAD_TIMESTAMP),
        (b"\xff,2026-03-01T07:12:00Z,1", Reason.MALFORMED),
    ],
)
def test_an_unreadable_csv_line_is_named(row, reason):
    parsed = parse([row], Csv(columns=["user_id", "timestamp", "value"]), PROFILE)
    assert [(r.line, r.reason) for r in parsed.unreadable] == [(1, reason)]


@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),  # noqa: DTZ001 - gets an offset
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)),
)
def test_timestamps_are_exact_to_the_microsecond_at_any_date(moment, offset):
    offset -= timedelta(seconds=offset.seconds % 60, microseconds=offset.microseconds)
    aware = moment.replace(tzinfo=timezone(offset))
    parsed = jsonl(GOOD | {"timestamp": aware.isoformat()})
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert parsed.time.tolist() == [(aware - epoch) // timedelta(microseconds=1)]


def zipped(*names):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, GOOD_LINE)
    return packed.getvalue()


def csv(records_start, header_lines, *more):
    columns = ["value", "timestamp", "user_id", *more]
    return Csv(columns=columns, records_start=records_start, header_lines=header_lines)


def tarred():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(GOOD_LINE)
        archive.addfile(member, io.BytesIO(GOOD_LINE))
    return packed.getvalue()


_TEXT = st.text("ab\u00e9\u2028\x00", max_size=4)
_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.none() | _TEXT | st.just(17),
        "timestamp": st.sampled_from(["2026-03-01T07:12:00Z", "2026-03-01", "", None, 5]),
        "value": st.floats() | st.just(10**400) | _TEXT | st.booleans(),
        "unit": st.sampled_from([None, "kg", "lb", "?", "", 3]),
        "source": st.none() | _TEXT,
        "measurement_id": st.none() | _TEXT,
    },
)
_LINES = st.lists(
    st.binary(max_size=30).map(lambda b: b.replace(b"\n", b""))
    | _FIELDS.map(lambda record: json.dumps(record).encode())
    | st.just(GOOD_LINE)
)


@given(_LINES, st.integers(1, 50), st.booleans())
@example(records=[b"", b"\xef\xbb\xbf"], size=1, as_csv=False)
@example(records=[GOOD_LINE, b"\xef\xbb\xbf" + GOOD_LINE], size=50, as_csv=False)
def test_every_record_is_read_exactly_once_for_any_chunk_boundaries(records, size, as_csv):
    data = b"\n".join(records)
    form = Csv(columns=["user_id", "timestamp", "value"]) if as_csv else Jsonl()
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    parsed = parse(parts, form, PROFILE)
    ordinals = sorted(parsed.ordinal.tolist() + [r.ordinal for r in parsed.unreadable])
    lines = [line.removeprefix(b"\xef\xbb\xbf") for line in data.split(b"\n")]
    expected = [line for line in lines if line.strip()]
    assert ordinals == list(range(parsed.records)) == list(range(len(expected)))
    assert np.isfinite(parsed.value).all()
    line_numbers = [n for n, line in enumerate(lines, 1) if line.strip()]
    for record in parsed.unreadable:
        assert record.line == line_numbers[record.ordinal]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (GOOD_LINE, Jsonl()),
        (b"\xef\xbb\xbf" + GOOD_LINE, Jsonl()),
        (b"garbage\n" + GOOD_LINE, Jsonl()),
        (gzip.compress(GOOD_LINE, mtime=0), Jsonl()),
        (b'{"user_id": "a\x00b"}\n' + GOOD_LINE, Jsonl()),
        (b"\n\nValue,Timestamp,User_ID,more\n1", csv(31, 3, "more")),
        (b"\xef\xbb\xbf\nvalue,timestamp,user_id", csv(27, 1)),
    ],
)
def test_the_format_is_detected_from_the_content(head, expected):
    assert detect_format("a", inflate_head("a", head)) == expected


@pytest.mark.parametrize("format_", [Jsonl(), csv(24, 1, "more")])
def test_a_format_is_stored_by_its_name_and_read_back(format_):
    stored = msgspec.json.encode(format_)
    assert json.loads(stored)["name"] == format_.title.lower()
    assert msgspec.json.decode(stored, type=AnyFormat) == format_


@pytest.mark.parametrize("end", [b"\n", b"\r", b""])
def test_lines_that_end_in_carriage_returns_alone_are_refused_in_a_sentence(end):
    with pytest.raises(UnknownFormat, match="a: its lines end in carriage returns alone"):
        detect_format("a", b"user_id,timestamp,value\ru,2026-03-01T07:12:00Z,1" + end)


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"\x89PNG\r\n\x1a\n\x00", "a PNG image"),
        (zipped("a.csv"), "a ZIP archive, not JSONL or CSV. Unpack it"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook"),
        (gzip.compress(tarred()), "a tar archive"),
        (gzip.compress(gzip.compress(GOOD_LINE)), "gzipped twice"),
        (b"PAR1\x15\x04\x15" + b"\x00" * 20, "a gzipped Parquet file"),
        (GOOD_LINE.decode().encode("utf-16"), "in UTF-16, not JSONL or CSV. Save it as UTF-8"),
        (GOOD_LINE.decode().encode("utf-16-le"), "in UTF-16, not JSONL or CSV. Save it as UTF-8"),
        (GOOD_LINE.decode().encode("utf-16-be"), "in UTF-16, not JSONL or CSV. Save it as UTF-8"),
        (bytes(range(256)) * 9 + b"\n" + GOOD_LINE + bytes(999), "binary data"),
        (b"[" + GOOD_LINE + b",\n" + GOOD_LINE + b"]", "a JSON array"),
        (b'\n<?xml version="1.0"?>\n<HealthData/>', "XML or HTML"),
        (b"hello", r"is neither JSONL \(one JSON object a line\) nor CSV with the header user_id,"),
        (b"", "neither"),
        (b"user_id,value\n1,2\n", "timestamp"),
        (b"\x1f\x8bnot gzip", "inflated"),
    ],
)
def test_content_that_is_neither_jsonl_nor_csv_is_refused_with_a_sentence(head, word):
    with pytest.raises(UnknownFormat, match=word) as caught:
        detect_format("scan.png", inflate_head("scan.png", head))
    assert "scan.png" in str(caught.value)
