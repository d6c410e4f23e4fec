"""Tables of Arrow and Parquet: their rows are the readings that JSON lines of them would be."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalmap.outcome import Reason
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.mapping import Mapping
from kalmap.records.parse import parse
from kalmap.records.table_block import TableBlock
from tests.support.tables import OWN, PROFILE, arrow, detect, parquet, parse_table

NAMES = st.one_of(
    st.sampled_from(["u-1", "u-2", "", " u", "ü" * 70, "a\tb"]), st.none(), st.text(max_size=3)
).filter(lambda name: name is None or name.encode(errors="replace").decode() == name)
VALUES = st.one_of(
    st.floats(50, 90), st.sampled_from([0.0, -0.0, float("nan"), float("inf"), 1e308]), st.none()
)
TIMES = st.one_of(
    st.none(),
    st.sampled_from([999, 1500, 500, -500, -1501]),
    st.integers(0, 1_900_000_000_000_000_000),
)
ROWS = st.lists(
    st.tuples(NAMES, TIMES, VALUES, st.sampled_from([None, "", "kg", "lb", "stone", "°X"]),
              NAMES, NAMES),
    max_size=12,
)  # fmt: skip


def columns_of(parsed):
    """What is parsed, by record: users and sources have other codes in other orders."""
    return [
        (
            ordinal, parsed.users[user], parsed.sources[source] or None, time, value, tag, key,
            parsed.ids[row] if parsed.ids else None,
        )
        for row, (ordinal, user, source, time, value, tag, key) in enumerate(
            zip(
                *(column.tolist() for column in (
                    parsed.ordinal, parsed.user, parsed.source, parsed.time, parsed.value,
                    parsed.tag, parsed.hash,
                )),
                strict=True,
            )
        )
    ]  # fmt: skip


def faults_of(parsed):
    return [(r.ordinal, r.line, r.reason, r.detail, r.user_id) for r in parsed.unreadable]


def iso_ns(nanoseconds):
    return None if nanoseconds is None else f"{np.datetime64(nanoseconds, 'ns')}Z"


def jsonl(rows):
    names = ("user_id", "timestamp", "value", "unit", "source", "measurement_id")
    lines = [
        json.dumps(dict(zip(names, (row[0], iso_ns(row[1]), *row[2:]), strict=True)))
        for row in rows
    ]
    return "\n".join(lines).encode()


def own_table(rows, *, codes=False):
    user, time, value, unit, source, name = zip(*rows, strict=True) if rows else [()] * 6
    texts = [pa.array(column, pa.string()) for column in (user, unit, source, name)]
    if codes:
        texts = [column.dictionary_encode() for column in texts]
    return pa.table(
        {
            "user_id": texts[0],
            "timestamp": pa.array(time, pa.timestamp("ns", "Europe/Berlin")),
            "value": pa.array(value, pa.float64()),
            "unit": texts[1],
            "source": texts[2],
            "measurement_id": texts[3],
        }
    )


@given(ROWS, st.booleans(), st.sampled_from([None, 16, 80]))
@settings(max_examples=60)
def test_a_table_is_read_as_its_json_lines_are(rows, codes, step):
    expected = parse([jsonl(rows)], Jsonl(), PROFILE)
    table = own_table(rows, codes=codes)
    for data in (parquet(table, row_group_size=4), arrow(table, stream=codes)):
        found = parse_table(data, step=step)
        assert columns_of(found) == columns_of(expected)
        assert [fault[:1] + fault[2:] for fault in faults_of(found)] == [
            fault[:1] + fault[2:] for fault in faults_of(expected)
        ]
        assert found.records == len(rows)


def row_by_row(monkeypatch, *arguments):
    with monkeypatch.context() as patched:
        patched.setattr(TableBlock, "columns", lambda self: None)
        return parse_table(*arguments)


BERLIN = Mapping(columns={"timestamp": "t", "value": "v", "user_id": "u"}, tz="Europe/Berlin")
NAIVE = datetime(2026, 3, 1, 7, 12)  # noqa: DTZ001
IDS = {"ids": pa.int64(), "decimals": pa.decimal128(38, 0), "floats": pa.float64(),
       "texts": pa.string(), "codes": pa.dictionary(pa.int8(), pa.string())}  # fmt: skip


@pytest.mark.parametrize("kind", IDS)
def test_ids_may_be_numbers_texts_or_a_dictionary(kind, monkeypatch):
    ids = [17, 17, None, 4]
    if kind in {"texts", "codes"}:
        ids = [name and str(name) for name in ids]
    if kind == "decimals":
        ids = [name and Decimal(name) for name in ids]
    table = pa.table(
        {
            "user_id": pa.array(ids, IDS[kind]),
            "timestamp": pa.array([datetime(2026, 3, 1, tzinfo=UTC)] * 4, pa.timestamp("s", "UTC")),
            "value": pa.array([80, 81, 82, 83], pa.int16()),
            "measurement_id": pa.array(ids, IDS[kind]),
        }
    )
    parsed = parse_table(parquet(table))
    assert [parsed.users[user] for user in parsed.user] == ["17", "17", "4"]
    assert parsed.ids == ["17", "17", "4"]
    assert faults_of(parsed) == [
        (2, 3, Reason.MISSING_FIELD, "user_id is missing.", None),
    ]
    slow = row_by_row(monkeypatch, parquet(table))
    assert columns_of(slow) == columns_of(parsed)
    assert faults_of(slow) == faults_of(parsed)


@pytest.mark.parametrize("cast", [pl.String, pl.Categorical])
def test_texts_of_polars_are_read_column_by_column(cast, monkeypatch):
    times = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 3)]
    frame = pl.DataFrame({"user_id": ["ann", None, "a name of many letters"], "timestamp": times,
                          "value": [80.0] * 3, "measurement_id": ["m1", "m2", "m3"]})  # fmt: skip
    file = io.BytesIO()
    frame.with_columns(pl.col("user_id").cast(cast)).write_ipc(file)
    data = file.getvalue()
    batch = pa.ipc.open_file(data).get_batch(0)
    assert pa.types.is_string_view(batch.column("measurement_id").type)
    block = next(iter(detect(data).blocks([batch])))
    assert block.columns().rows.tolist() == [0, 2]
    parsed = parse_table(data)
    assert ([parsed.users[user] for user in parsed.user], parsed.ids) == (
        ["ann", "a name of many letters"], ["m1", "m3"])  # fmt: skip
    assert faults_of(parsed) == [(1, 2, Reason.MISSING_FIELD, "user_id is missing.", None)]
    assert columns_of(row_by_row(monkeypatch, data)) == columns_of(parsed)


@pytest.mark.parametrize("mapping", [None, Mapping(columns={name: name for name in (
    "user_id", "timestamp", "value")})])  # fmt: skip
def test_float_ids_that_may_be_several_users_are_refused(mapping):
    times = pa.array([0, 1, 2], pa.timestamp("s", "UTC"))
    ids = pa.array([2.0**53 - 1, 2.0**53, -(2.0**60)])
    data = parquet(pa.table({"user_id": ids, "timestamp": times, "value": [80.0] * 3}))
    parsed = parse_table(data, mapping)
    assert parsed.users == ["9007199254740991"]
    assert [record.line for record in parsed.unreadable] == [2, 3]
    assert all("is a float above 2^53, so" in record.detail for record in parsed.unreadable)


def test_large_decimal_ids_stay_apart():
    ids = [Decimal(2**60), Decimal(2**60 + 1), Decimal(10**30)]
    table = pa.table(
        {
            "user_id": pa.array(ids, pa.decimal128(38, 0)),
            "timestamp": pa.array([0, 0, 0], pa.timestamp("us", "UTC")),
            "value": [80.0, 81.0, 82.0],
        }
    )
    assert parse_table(parquet(table)).users == [str(int(name)) for name in ids]


@pytest.mark.parametrize(
    ("cells", "type_", "dates"),
    [
        ([NAIVE, None, NAIVE + timedelta(days=31)], pa.timestamp("ms"), "iso"),
        ([NAIVE, None, NAIVE + timedelta(days=31)], pa.timestamp("ns"), "day_first"),
        ([datetime(2026, 3, 29, 1, 59) + timedelta(minutes=k * 20) for k in range(99)],  # noqa: DTZ001
         pa.timestamp("us"), "iso"),
        ([datetime(2026, 10, 25, 0, 59) + timedelta(minutes=k * 20) for k in range(99)],  # noqa: DTZ001
         pa.timestamp("us"), "iso"),
        ([date(2026, 3, 1), None, date(1960, 7, 1)], pa.date32(), "iso"),
        (["2026-03-01 07:12", None, "nonsense", "", " 2026-07-01 "], pa.string(), "iso"),
        (["01.03.2026 07:12", None], pa.string(), "day_first"),
        ([1_772_345_678, None, -5, 10**17], pa.int64(), "unix_seconds"),
        ([1_772_345_678.25, None, float("nan"), 1e300], pa.float64(), "unix_seconds"),
        ([1_772_345_678_901, None, 10**17], pa.int64(), "unix_milliseconds"),
        ([1_772_345_678, None, 5], pa.uint32(), "unix_seconds"),
        ([1_772_345_678_901_234, None, -5, 10**18], pa.int64(), "unix_microseconds"),
        ([1_772_345_678_901_234_500, None, -1_500, 2_500, 9 * 10**18], pa.int64(),
         "unix_nanoseconds"),
        ([1_772_345_678_901_234_500.0, None, float("nan"), 1e300], pa.float64(),
         "unix_nanoseconds"),
    ],
)  # fmt: skip
def test_times_of_every_kind_are_those_of_the_rows_one_by_one(cells, type_, dates, monkeypatch):
    table = pa.table(
        {
            "u": pa.array(["a"] * len(cells)).dictionary_encode(),
            "t": pa.array(cells, type_),
            "v": pa.array([80.5] * len(cells), pa.float32()),
        }
    )
    mapping = Mapping(columns=BERLIN.columns, tz="Europe/Berlin", dates=dates)
    data = parquet(table, version="2.6")
    fast, slow = parse_table(data, mapping), row_by_row(monkeypatch, data, mapping)
    assert columns_of(fast) == columns_of(slow)
    assert faults_of(fast) == faults_of(slow)
    assert len(fast.time) >= 1


def test_rows_without_a_value_are_skipped_where_the_mapping_says_so(monkeypatch):
    table = pa.table(
        {
            "u": ["a", "a", "b", None],
            "t": pa.array([0, 1, 2, 3], pa.timestamp("s", "UTC")),
            "v": [80.0, None, 81.0, 82.0],
        }
    )
    mapping = Mapping(columns=BERLIN.columns, skip_empty=True)
    parsed = parse_table(parquet(table), mapping)
    assert (parsed.records, parsed.lines) == (3, 4)
    assert parsed.ordinal.tolist() == [0, 1]
    assert faults_of(parsed) == [
        (2, 4, Reason.MISSING_FIELD, "user_id (u) is empty.", None),
    ]
    slow = row_by_row(monkeypatch, parquet(table), mapping)
    assert (columns_of(slow), faults_of(slow)) == (columns_of(parsed), faults_of(parsed))


def test_values_as_text_and_rows_of_one_kind_are_read_under_a_mapping():
    table = pa.table(
        {
            "kind": ["EGV", "Insulin", "EGV"],
            "t": pa.array([0, 1, 2], pa.timestamp("s", "UTC")),
            "v": ["80,5 kg", "7", "177 lb"],
        }
    )
    mapping = Mapping(
        columns={"timestamp": "t", "value": "v"}, user="u", decimal=",", only={"kind": ["EGV"]}
    )
    parsed = parse_table(parquet(table), mapping)
    assert parsed.value.tolist() == pytest.approx([80.5, 80.2858], abs=1e-4)
    assert (parsed.records, parsed.lines) == (2, 3)


def test_rows_are_cut_between_row_groups_and_a_large_one_between_its_rows():
    table = pa.table(OWN).take(pa.array([0] * 100))
    format_ = detect(parquet(table, row_group_size=30))
    assert format_.split(0, 16 * 60) == [(0, 60), (60, 100)]
    assert format_.split(0, 16 * 30) == [(0, 30), (30, 60), (60, 90), (90, 100)]
    assert format_.split(0, 16 * 20) == [(0, 15), (15, 30), (30, 45), (45, 60), (60, 75), (75, 90),
                                         (90, 100)]  # fmt: skip
    assert format_.planned().split(0, 1 << 40) == [(0, 100)]
    assert detect(parquet(table.slice(0, 0))).split(0, 100) == []


def test_a_table_of_kalmaps_own_beside_one_of_another_program_is_read_as_its_own():
    other = Mapping(columns={"timestamp": "Date", "value": "kg"}, user="u", tz="UTC")
    assert detect(parquet(pa.table(OWN)), other).mapping is None


def test_a_long_text_of_a_dictionary_is_not_written_out_in_each_row():
    rows = 3000
    table = pa.table(
        {
            "user_id": pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 400_000])
            ),
            "timestamp": pa.array(np.arange(rows), pa.timestamp("us", "UTC")),
            "value": np.full(rows, 70.0),
        }
    )
    data = parquet(table, store_schema=False)
    [batch] = detect(data).read_range(0, rows, len(data), lambda start, end: data[start:end])
    assert batch.nbytes < 1_000_000
    parsed = parse_table(data)
    assert len(parsed.unreadable) == rows
    assert parsed.unreadable[0].detail == "The row has texts of more than 65,536 bytes."
