"""Timestamps: one moment in every spelling of ISO 8601 that has an offset, and what is refused."""

import json
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalmap.filter.fold import fold_users
from kalmap.moments import microseconds
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.records.format_csv import Csv
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.records.shards import assemble, route
from kalmap.records.timestamps import read_timestamp

PROFILE = builtin_profile("body-weight")
SPELLINGS = [
    "2026-03-04T08:00:00Z",
    "2026-03-04T08:00Z",
    "2026-03-04T08Z",
    "2026-03-04t08:00:00z",
    "2026-03-04 08:00:00Z",
    "20260304T080000Z",
    "20260304T0800Z",
    "2026-W10-3T08:00:00Z",
    "2026W103T08Z",
    "2026-03-04T09:00:00+01:00",
    "2026-03-04T09:00:00+0100",
    "2026-03-04T09:00:00+01",
    "20260304T0900+01",
    "2026-03-04 09:00:00 +0100",
    "2026-03-04 09:00 +01:00",
    "2026-03-04T07:00:00\u221201:00",
    "2026-03-04T08:00:00-00:00",
    " 2026-03-04T08:00:00.000Z ",
    "2026-03-04T08:00:00,000000000Z",
    "2026-03-04T08:00:00.0000004Z",
    "20260304T090000,0000004+01",
]


@pytest.mark.parametrize(
    ("format_", "line"),
    [
        (Jsonl(), '{"user_id": "u", "timestamp": "%s", "value": 80}'),
        (Csv(columns=["user_id", "timestamp", "value"]), 'u,"%s",80'),
    ],
)
def test_a_reading_with_its_timestamp_in_another_spelling_is_a_duplicate(format_, line):
    parsed = parse(
        ["\n".join(line % spelling for spelling in SPELLINGS).encode()], format_, PROFILE
    )
    assert not parsed.unreadable
    slices, _ = route(parsed, 0, 1)
    shard = assemble([(0, 0, 0, slices)], PROFILE)
    folded = fold_users(PROFILE, [None], shard.readings, int(parsed.time[0]))
    assert folded.decisions.reason.tolist() == [0] + [Reason.DUPLICATE] * (len(SPELLINGS) - 1)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),  # noqa: DTZ001 - gets an offset
    st.integers(-1439, 1439),
    st.text("0123456789", min_size=7, max_size=12),
)
def test_fractions_of_any_length_are_rounded_alike_in_all_spellings(moment, minutes, fraction):
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    usual = f"{moment:%H:%M:%S}.{fraction}{sign}{hours:02}:{rest:02}"
    basic = f"{moment:%H%M%S},{fraction} {sign}{hours:02}{rest:02}"
    date = moment.date().isoformat()
    read_as = read_timestamp(f"{date.replace('-', '')}T{basic}")
    assert read_as == read_timestamp(f"{date}T{usual}")
    exact = datetime.fromisoformat(f"{date}T{moment:%H:%M:%S}{sign}{hours:02}:{rest:02}")
    assert microseconds(read_as) - microseconds(exact) == round(int(fraction[:7]) / 10 + 0.01)


@pytest.mark.parametrize(
    ("timestamp", "word"),
    [
        ("2026-03-01T07:12:00", "no offset from UTC; write for example"),
        ("2026-03-01 07:12", "no offset"),
        ("20260301T0712", "no offset"),
        ("2026-03-01", "not an ISO 8601 date and time"),
        ("2026-03-04T24:00:00Z", "the hour 24; write 00:00 of the next day"),
        ("20260304T2400Z", "the hour 24"),
        ("2026-12-31T23:59:60Z", "the second 60, a leap second"),
        ("2026-03-04T08:30,5Z", "a fraction of a minute"),
        ("2026-02-30T08:00Z", "no date and time that exists"),
        ("2026-03-04T08:61Z", "no date and time that exists"),
        ("2026-W54-1T08:00Z", "no date and time that exists"),
        ("2026-03-04T08:00+24:00", "no date and time that exists"),
        ("0000-03-04T08:00Z", "no date and time that exists"),
        ("0001-01-01T00:00+01", "outside the years 1 to 9999"),
        ("9999-12-31T23:59:59.9999999Z", "outside the years 1 to 9999"),
        ("2026-03-04x08:00Z", "not an ISO 8601"),
        ("\uff12026-03-04T08:00Z", "not an ISO 8601"),
        ("1772345520", "is the number 1772345520, perhaps seconds"),
        (1772345520, "is the number 1772345520, perhaps seconds"),
        (1772345520123.5, "is the number 1772345520123.5, perhaps"),
        (True, "not text in ISO 8601"),
        ([], "not text in ISO 8601"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_timestamp(timestamp, word):
    line = json.dumps({"user_id": "u", "timestamp": timestamp, "value": 80}).encode()
    [record] = parse([line], Jsonl(), PROFILE).unreadable
    assert record.reason == Reason.BAD_TIMESTAMP
    assert word in record.detail
    assert record.detail.endswith(".")
