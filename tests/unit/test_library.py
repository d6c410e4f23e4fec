"""`import kalmap`: tables in, tables out, with the results and states of a batch."""

import doctest
import importlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import arro3.core
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

import kalmap
from kalmap.filter.estimates import describe, predict
from kalmap.filter.fold import fold_users
from kalmap.moments import LATEST
from kalmap.profile import builtin_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.records.shards import assemble, route
from kalmap.results.lines import encode
from kalmap_cli.simulation import jsonl_lines
from kalmap_cli.simulation import simulate as simulate_blocks
from kalmap_library.records import records_of
from tests.support.template import ROOT

PROFILE = builtin_profile("body-weight")
TIME = pl.col("timestamp")
MODULES = sorted(path.stem for path in (ROOT / "cli" / "kalmap_library").glob("*.py"))


@pytest.fixture(scope="module")
def simulated():
    return kalmap.simulate(users=30, days=60, seed=4).readings


def same(one, other):
    """Whether two tables are the same to the bit."""
    assert list(one.keys()) == list(other.keys())
    for name in one.keys():  # noqa: SIM118 - a table is not iterable
        if one[name].dtype == object:
            assert one[name].tolist() == other[name].tolist(), name
        else:
            assert one[name].tobytes() == other[name].tobytes(), name
    return True


def batch(lines):
    """Result lines, users and states, as the steps of a batch make them."""
    parsed = parse([lines], Jsonl(), PROFILE)
    slices, _ = route(parsed, 0, 1)
    shard = assemble([(0, 0, 0, slices)], PROFILE)
    folded = fold_users(PROFILE, [None] * len(shard.users), shard.readings, LATEST)
    results = [json.loads(line) for line in encode(shard, folded.decisions).splitlines()]
    return results, dict(zip(shard.users, folded.bodies, strict=True))


def as_lines(results):
    """A table of results as the lines of a batch."""
    frame = pl.DataFrame(results).with_columns(pl.col("timestamp").cast(pl.Int64))
    return [
        {name: None if value != value else value for name, value in row.items()}
        for row in frame.to_dicts()
    ]


@pytest.mark.thorough
def test_the_examples_of_the_page_and_of_every_module_are_true(monkeypatch):
    monkeypatch.chdir(ROOT)
    page = doctest.testfile(str(ROOT / "docs" / "library.md"), module_relative=False)
    assert page.attempted > 20
    assert page.failed == 0
    examples = [doctest.testmod(importlib.import_module(f"kalmap_library.{m}")) for m in MODULES]
    assert sum(tested.attempted for tested in examples) > 20
    assert sum(tested.failed for tested in examples) == 0


def test_results_and_states_are_those_of_a_batch_with_the_same_lines():
    [block] = simulate_blocks(30, 60, 4)
    lines = "".join(jsonl_lines(block)).encode()
    lines += b'{"user_id": "x", "timestamp": "2026-01-01", "value": 80}\n'
    expected, states = batch(lines)
    columns = {
        name: [json.loads(line).get(name) for line in lines.splitlines()]
        for name in ("user_id", "timestamp", "value", "unit", "source", "measurement_id")
    }
    folded = kalmap.fold(columns)
    assert folded.states == states
    rows = as_lines(folded.results)
    assert len(rows) == len(expected) > 500
    assert {row["status"] for row in rows} == {"accepted", "rejected", "duplicate", "unreadable"}
    for row, line in zip(rows, expected, strict=True):
        text = line.pop("timestamp")
        moment = text and int(datetime.fromisoformat(text).timestamp() * 1e6)
        assert row.pop("timestamp") == moment
        assert row.pop("restarted") == line.pop("restarted")
        assert row == line
    [detail] = folded.unreadable["detail"]
    assert "2026-03-01T07:12:00+01:00" in detail


def test_a_simulated_table_is_what_the_command_writes(simulated, tmp_path):
    [block] = simulate_blocks(30, 60, 4)
    file = tmp_path / "readings.jsonl"
    file.write_text("".join(jsonl_lines(block)))
    assert same(kalmap.fold(simulated).results, kalmap.fold(kalmap.read(file)).results)


def test_readings_cut_in_two_leave_the_same_states(simulated):
    whole = kalmap.fold(simulated)
    columns = dict(simulated)
    half = len(columns["value"]) // 2
    first = kalmap.fold({name: column[:half] for name, column in columns.items()})
    second = kalmap.fold({name: column[half:] for name, column in columns.items()}, first.states)
    assert second.states == whole.states
    assert first.states.keys() <= second.states.keys()


def frames():
    """Ways to hand over a table, each from columns of polars."""
    return {
        "polars": lambda frame: frame,
        "categories": lambda frame: frame.with_columns(pl.col("source").cast(pl.Categorical)),
        "pandas": lambda frame: frame.to_pandas(),
        "columns of pandas": lambda frame: dict(frame.to_pandas().items()),
        "pyarrow": lambda frame: frame.to_arrow(),
        "arro3": arro3.core.Table.from_arrow,
        "DuckDB": lambda frame: duckdb.sql("from frame"),
        "lists": lambda frame: frame.to_dict(as_series=False),
        "nanoseconds": lambda frame: frame.with_columns(
            pl.col("timestamp").dt.cast_time_unit("ns")
        ),
        "another zone": lambda frame: frame.with_columns(
            pl.col("timestamp").dt.convert_time_zone("Europe/Vienna")
        ),
    }


@pytest.mark.parametrize("name", frames())
def test_the_same_readings_give_the_same_results_from_every_kind_of_table(simulated, name):
    expected = kalmap.fold(simulated)
    folded = kalmap.fold(frames()[name](pl.DataFrame(simulated)))
    assert same(folded.results, expected.results)
    assert folded.states == expected.states


def test_a_table_of_results_goes_into_every_library(simulated):
    results = kalmap.fold(simulated).results
    frame = pl.DataFrame(results)
    assert frame.schema["timestamp"] == pl.Datetime("us", "UTC")
    assert frame["level"].null_count() == int(np.isnan(results["level"]).sum()) > 0
    assert frame["level"].drop_nulls().to_numpy().tobytes() == (
        results["level"][~np.isnan(results["level"])].tobytes()
    )
    assert frame["restarted"].dtype == pl.Boolean
    assert pd.DataFrame.from_arrow(results).shape == frame.shape
    assert pa.table(results).num_rows == results.rows
    assert duckdb.sql("select count(*) from results").fetchall() == [(results.rows,)]


def test_a_prediction_is_that_of_each_state_by_itself(simulated):
    states = kalmap.fold(simulated).states
    at = datetime(2026, 2, 1, tzinfo=UTC)
    table = kalmap.predict(states, at)
    moment = int(at.timestamp()) * 1_000_000
    for row, (user, body) in enumerate(states.items()):
        assert table["user_id"][row] == user
        one = (table["level"][row], table["level_sd"][row], table["slope"][row])
        assert one == predict(PROFILE, body, moment)
    newest = kalmap.predict(states)
    assert newest["level"].tolist() == [describe(b, PROFILE).level for b in states.values()]
    assert kalmap.predict({}).rows == 0


def test_smoothed_levels_are_those_of_the_state(simulated):
    states = kalmap.fold(simulated).states
    table = kalmap.smooth(states)
    windows = [r for body in states.values() for r in describe(body, PROFILE).window_readings]
    assert table["level_smoothed"].tolist() == [reading.level_smoothed for reading in windows]
    assert table["level_smoothed_sd"].tolist() == [r.level_smoothed_sd for r in windows]
    assert table.rows > len(states)


ONE = {"user_id": ["u"], "timestamp": ["2026-01-01T00:00Z"], "value": [80.0]}


@pytest.mark.parametrize(
    ("readings", "said"),
    [
        ([{"user_id": "u"}], "pandas.DataFrame(records)"),
        ("readings.csv", "not str"),
        ({"user": ["u"], "timestamp": [1], "value": [1.0]}, "no column user_id"),
        (ONE | {"value": [1.0, 2.0]}, "value has 2"),
        (ONE | {"user_id": [1.5]}, "user_id has 1.5, which is neither text nor a whole number"),
        (ONE | {"user_id": [2.0**60]}, "user_id is a float above 2^53"),
        (ONE | {"user_id": "anna"}, "user_id is 'anna', not a list"),
        (ONE | {"value": [-np.inf]}, "value is not finite"),
        (pl.DataFrame(ONE | {"value": [np.inf]}), "value is not finite"),
        (ONE | {"value": 81}, "value is 81, not a list"),
        (pd.DataFrame([["u", "v"]], columns=["user_id"] * 2), "['user_id', 'user_id']"),
        (
            pa.table(
                [[1], [2], ["u"], ["2026-01-01T00:00Z"]],
                names=["value", "value", "user_id", "timestamp"],
            ),
            "several columns value",
        ),
        (pd.Series([80.0]), "not Series"),
        (ONE | {"timestamp": [datetime(2026, 1, 1)]}, "no offset from UTC"),  # noqa: DTZ001
        (ONE | {"timestamp": [float("nan")]}, "timestamp is missing"),
        (ONE | {"value": [object()]}, "object has no form"),
        (pl.DataFrame(ONE).with_columns(timestamp=datetime(2026, 1, 1)), "no time zone"),  # noqa: DTZ001
    ],
)
def test_other_readings_get_a_sentence(readings, said):
    with pytest.raises(kalmap.InvalidInput) as refused:
        kalmap.fold(readings)
    assert said in str(refused.value)


EMPTY = {"user_id": [], "timestamp": [], "value": []}
EMPTY_TYPES = {"user_id": pl.String, "timestamp": pl.Datetime("us", "UTC"), "value": pl.Float64}


@pytest.mark.parametrize(
    "table",
    [EMPTY, pd.DataFrame(EMPTY), pl.DataFrame(EMPTY, EMPTY_TYPES),
     pl.DataFrame(EMPTY, EMPTY_TYPES).to_arrow()],
    ids=["columns", "pandas", "polars", "pyarrow"],
)  # fmt: skip
def test_of_no_readings_the_fold_is_empty_and_the_states_stay(table):
    # Here first: records without an end would take all memory of the machine.
    assert next(records_of(EMPTY), None) is None
    states = kalmap.fold(ONE).states
    folded = kalmap.fold(table, states)
    assert (folded.results.rows, folded.unreadable.rows) == (0, 0)
    assert folded.states == states
    assert list(folded.results.keys()) == list(kalmap.fold(ONE).results.keys())


def test_whole_numbers_are_names_of_users_and_decimals_are_values():
    frame = pd.DataFrame({"user_id": [17, 5], "timestamp": "2026-01-01T00:00Z", "value": 80.25})
    expected = kalmap.fold(dict(frame.astype({"user_id": "str"})))
    for table in (
        frame,
        dict(frame),
        frame.astype({"user_id": "float64"}),
        pl.from_pandas(frame).with_columns(pl.col("value").cast(pl.Decimal(10, 2))),
        {"user_id": [np.int64(17), 5], "timestamp": ["2026-01-01T00:00Z"] * 2,
         "value": [Decimal("80.25")] * 2},
    ):  # fmt: skip
        folded = kalmap.fold(table)
        assert same(folded.results, expected.results)
        assert folded.states == expected.states
        assert list(folded.states) == ["17", "5"]


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ([1], "not list"),
        (pd.DataFrame(ONE), "not DataFrame"),
        ({"anna": "AgUA"}, "state of anna is str, not bytes"),
        ({1: b""}, "1 is not"),
    ],
)
def test_what_is_no_state_is_refused_by_all_that_take_states(states, said):
    for take in (lambda: kalmap.fold(ONE, states), lambda: kalmap.predict(states),
                 lambda: kalmap.smooth(states)):  # fmt: skip
        with pytest.raises(kalmap.InvalidInput, match=said):
            take()


def test_the_version_is_that_of_the_installed_package(tmp_path, monkeypatch):
    alone = "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; "
    program = alone + "import kalmap; sys.exit(hasattr(kalmap, '__version__'))"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT / "functions")
    (tmp_path / "kalmap-7.8.9.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: kalmap\nVersion: 7.8.9\n"
    (tmp_path / "kalmap-7.8.9.dist-info" / "METADATA").write_text(metadata)
    monkeypatch.syspath_prepend(tmp_path)
    assert kalmap.__version__ == "7.8.9"


def test_a_column_that_is_not_known_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match="does not use these columns: mood") as caught:
        folded = kalmap.fold(ONE | {"mood": ["good"]})
    assert caught[0].filename == __file__
    assert folded.states == kalmap.fold(ONE).states


def test_states_of_another_profile_are_adopted_only_if_that_is_said():
    states = kalmap.fold(ONE).states
    calmer = json.loads((ROOT / "functions/kalmap/profiles/body-weight.json").read_bytes())
    calmer["level_noise"] /= 2.0
    later = ONE | {"timestamp": ["2026-01-02T00:00Z"]}
    refused = kalmap.fold(later, states, calmer)
    assert refused.results["reason"].tolist() == ["profile_changed"]
    assert refused.states == states
    adopted = kalmap.fold(later, states, calmer, adopt_profile=True)
    assert adopted.results["status"].tolist() == ["accepted"]


def test_readings_after_now_are_in_the_future():
    assert kalmap.fold(ONE, now="2025-12-01T00:00Z").results["reason"].tolist() == ["in_future"]
    assert kalmap.fold(ONE).results["status"].tolist() == ["accepted"]
    with pytest.raises(kalmap.InvalidInput, match="now is 'noon'"):
        kalmap.fold(ONE, now="noon")


def test_a_prediction_before_the_newest_reading_names_the_user():
    states = kalmap.fold(ONE).states
    with pytest.raises(kalmap.InvalidInput, match="newest reading of u is of 2026-01-01T00:00:00Z"):
        kalmap.predict(states, "2025-12-01T00:00Z")


def test_a_file_is_read_as_a_table_and_what_cannot_be_read_is_told(tmp_path):
    file = tmp_path / "weights.csv"
    file.write_text("user_id,timestamp,value\nu,2026-01-01T00:00Z,80\nu,yesterday,81\n")
    with pytest.warns(UserWarning, match="1 of 2 records .* in line 3: timestamp is not"):
        table = kalmap.read(file)
    assert kalmap.fold(table).states == kalmap.fold(ONE).states
    lines = tmp_path / "weights.jsonl"
    record = {name: column[0] for name, column in ONE.items()}
    lines.write_text(f"{json.dumps(record)}\n{json.dumps(record | {'value': 'x'})}\n")
    with pytest.warns(UserWarning, match="1 of 2 records .* in line 2: value is not a number"):
        assert kalmap.read(lines).rows == 1
    with pytest.raises(kalmap.InvalidInput, match="no file"):
        kalmap.read(tmp_path / "nothing.csv")


def test_a_file_of_another_program_is_read_by_what_the_caller_says(tmp_path):
    file = tmp_path / "export.csv"
    file.write_text("When;Scale\n01.03.2026 07:00;1,700\n02.03.2026 07:00;1,701\n")
    with pytest.raises(kalmap.InvalidInput, match=r"export\.csv"):
        kalmap.read(file)
    table = kalmap.read(
        file, columns={"timestamp": "When", "value": "Scale"}, user="anna", unit="lb",
        source="scale", tz="Europe/Berlin", dates="day_first", decimal=",",
    )  # fmt: skip
    times = table["timestamp"].astype(str).tolist()
    assert times == ["2026-03-01T06:00:00.000000", "2026-03-02T06:00:00.000000"]
    kept = ("user_id", "value", "unit", "source")
    assert [table[name].tolist()[0] for name in kept] == ["anna", 1.7, "lb", "scale"]
    for wrong in ({"tz": "Mars"}, {"columns": {"weight": "Scale"}}, {"user": " "}):
        with pytest.raises(kalmap.InvalidInput, match=f"^{next(iter(wrong))} "):
            kalmap.read(file, **wrong)


@pytest.mark.parametrize("name", ["f.parquet", "f.arrow"])
def test_a_file_of_arrow_or_parquet_is_read_as_the_table_that_it_is(simulated, tmp_path, name):
    table = pa.table(simulated)
    if name == "f.parquet":
        pq.write_table(table, tmp_path / name, row_group_size=500)
    else:
        feather.write_feather(table, tmp_path / name)
    read = kalmap.read(tmp_path / name)
    assert kalmap.fold(read).states == kalmap.fold(simulated).states


def test_a_profile_is_a_name_a_file_fields_or_itself(tmp_path):
    file = ROOT / "functions" / "kalmap" / "profiles" / "body-weight.json"
    for given in ("body-weight", file, str(file), json.loads(file.read_bytes()), PROFILE):
        assert kalmap.load_profile(given) == PROFILE
    with pytest.raises(kalmap.InvalidProfile, match="No such file"):
        kalmap.load_profile(tmp_path / "nothing.json")
    with pytest.raises(kalmap.InvalidProfile, match="not 3"):
        kalmap.fold(ONE, profile=3)


def test_too_few_readings_are_not_tuned():
    with pytest.raises(kalmap.InvalidInput, match="too few to fit a profile"):
        kalmap.tune(ONE)


def test_importing_kalmap_imports_the_library_only_when_it_is_used():
    program = (
        "import sys, kalmap; assert 'numpy' not in sys.modules; kalmap.fold; "
        "assert not {'boto3', 'arro3', 'pyarrow'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path("/"))
