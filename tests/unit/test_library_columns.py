"""Tables whose columns the fold takes as they are: the same results as their records give."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

import kalmap
from kalmap_library import records
from kalmap_library.coded import coded_readings

DAYS = [datetime(2026, 1, day, 7, 0, 0, 123_456, tzinfo=UTC) for day in (1, 2, 3)]
READINGS = {
    "user_id": ["anna", "bert", "anna"],
    "timestamp": DAYS,
    "value": [80.5, -0.0, 179.0],
    "unit": ["kg", None, "lb"],
    "source": ["scale", None, "s" * 900],
    "measurement_id": ["m-1", "", None],
}
INDIA = timezone(timedelta(hours=5, minutes=30))
#: What the fold takes as it is.
PLAIN = {
    "times with offsets": {"timestamp": [day.astimezone(INDIA) for day in DAYS]},
    "times as text": {"timestamp": [day.isoformat() for day in DAYS]},
    "times of numpy": {"timestamp": np.array([day.replace(tzinfo=None) for day in DAYS], "M8[us]")},
    "whole nanoseconds": {
        "timestamp": np.array([day.replace(tzinfo=None) for day in DAYS], "M8[us]").astype("M8[ns]")
    },
    "whole numbers": {"value": [80, 81.5, 2**53 - 1]},
    "numbers of numpy": {"value": np.array([80.5, 81, 82], np.float32)},
}
#: What only records tell.
ODD = {
    "a fraction of a microsecond": {
        "timestamp": np.array(["2026-01-01T07:00:00.123456789"] * 3, "M8[ns]")
    },
    "a time that is missing": {"timestamp": np.array(["2026-01-01", "NaT", "NaT"], "M8[us]")},
    "a year of five digits": {"timestamp": np.array(["10000-01-01", "2026", "2026"], "M8[s]")},
    "another spelling": {"timestamp": ["20260101T070000Z"] * 3},
    "an offset with seconds": {
        "timestamp": [day.astimezone(timezone(timedelta(seconds=1))) for day in DAYS]
    },
    "a time and a text": {"timestamp": [DAYS[0], DAYS[1].isoformat(), DAYS[2]]},
    "a value that is missing": {"value": [80.5, float("nan"), 82.0]},
    "an infinite value": {"value": [80.5, float("inf"), 82.0]},
    "a huge whole number": {"value": [80.5, 2**53 + 1, 10**400]},
    "a truth": {"value": [80.5, True, 82.0]},
    "a user that is missing": {"user_id": ["anna", None, "bert"]},
    "a user with a line end": {"user_id": ["anna", "be\nrt", "bert"]},
    "an unknown unit": {"unit": ["kg", "stones of another country", "kg"]},
    "an empty unit": {"unit": ["kg", "", "kg"]},
    "a long source": {"source": ["s" * 70_000, "t", "u"]},
    "a long id": {"measurement_id": ["m" * 129, "m", "n"]},
}


def both(monkeypatch, table):
    """What the fold makes of a table, and of its records."""
    folded = kalmap.fold(table)
    monkeypatch.setattr(records, "coded_readings", lambda _: None)
    return folded, kalmap.fold(table)


@pytest.mark.parametrize("name", [*PLAIN, *ODD])
def test_columns_give_the_results_and_states_of_their_records(monkeypatch, name):
    folded, of_records = both(monkeypatch, READINGS | (PLAIN | ODD)[name])
    for one, other in zip(folded[::2], of_records[::2], strict=True):  # results and unreadable
        names = list(one.keys())
        assert names == list(other.keys())
        assert [str(one[key].tolist()) for key in names] == [
            str(other[key].tolist()) for key in names
        ]
    assert folded.states == of_records.states


@pytest.mark.parametrize("name", PLAIN)
def test_plain_columns_need_no_records(name):
    columns = READINGS | PLAIN[name]
    if isinstance(columns["value"], np.ndarray):
        columns["value"] = columns["value"].tolist()
    assert coded_readings(columns) is not None


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "readings.jsonl"
    path.write_text(
        '{"user_id": "anna", "timestamp": "2026-01-01T07:00:00+01:00", "value": 80.5}\n'
        '{"user_id": "bert", "timestamp": "2026-01-02T07:00:00Z", "value": 70, "unit": "kg"}\n'
    )
    return path


def test_a_table_of_a_file_goes_into_other_libraries(file):
    frame = pl.DataFrame(kalmap.read(file))
    assert frame["value"].to_list() == [80.5, 70.0]
    assert frame["unit"].to_list() == [None, "kg"]
    assert frame["timestamp"].to_list()[0] == datetime(2026, 1, 1, 6, tzinfo=UTC)


def test_what_is_changed_in_a_table_of_a_file_is_folded(file):
    table = kalmap.read(file)
    table["value"][:] += 1.0
    assert kalmap.fold(table).results["value"].tolist() == [81.5, 71.0]


def test_a_table_of_a_file_with_an_unknown_unit_names_the_record(file):
    file.write_text(file.read_text().replace('"kg"', '"ell"'))
    folded = kalmap.fold(kalmap.read(file))
    assert folded.unreadable["reason"].tolist() == ["unknown_unit"]
