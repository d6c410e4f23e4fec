"""The simulator: deterministic, plausible, and honest about its own faults."""

import gzip
import json

import numpy as np
import pytest

from kalmap.profile import builtin_profile
from kalmap.records.format_csv import Csv
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap_cli.commands.simulate import simulate_to_files
from kalmap_cli.errors import WrongUsage
from kalmap_cli.simulation import (
    PERIOD_END,
    SOURCES,
    Fault,
    Rates,
    SimulatedReadings,
    jsonl_lines,
    simulate,
)

DAY = 86_400_000_000


def all_of(users, days, seed, **rates):
    blocks = list(simulate(users, days, seed, rates=Rates(**rates)))
    return SimulatedReadings(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


@pytest.fixture(scope="module")
def simulated():
    return all_of(1000, 90, 3)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        truth = tmp_path / f"{name}-truth.jsonl"
        simulate_to_files(40, 30, seed, tmp_path / f"{name}.jsonl.gz", truth)
    a, b, c = ((tmp_path / f"{name}.jsonl.gz").read_bytes() for name in "abc")
    assert a == b != c
    assert (tmp_path / "a-truth.jsonl").read_bytes() == (tmp_path / "b-truth.jsonl").read_bytes()


def test_a_users_readings_do_not_depend_on_the_number_of_users():
    few, many = all_of(30, 60, 1), all_of(1500, 60, 1)
    chosen = many.user < 30
    for column_of_few, column_of_many in zip(few, many, strict=True):
        np.testing.assert_array_equal(column_of_few, column_of_many[chosen])


def test_every_reading_can_be_read_back_as_a_measurement(simulated):
    lines = "".join(jsonl_lines(simulated)).encode()
    parsed = parse([lines], Jsonl(), builtin_profile("body-weight"))
    assert parsed.unreadable == []
    assert parsed.records == len(simulated.user)
    np.testing.assert_array_equal(parsed.time, simulated.time)


def test_csv_and_jsonl_hold_the_same_measurements(tmp_path):
    profile = builtin_profile("body-weight")
    simulate_to_files(30, 30, 2, tmp_path / "a.jsonl", None)
    simulate_to_files(30, 30, 2, tmp_path / "a.csv", None)
    header, _, body = (tmp_path / "a.csv").read_bytes().partition(b"\n")
    from_csv = parse([body], Csv(columns=header.decode().split(",")), profile)
    from_jsonl = parse([(tmp_path / "a.jsonl").read_bytes()], Jsonl(), profile)
    np.testing.assert_array_equal(from_csv.time, from_jsonl.time)
    np.testing.assert_array_equal(from_csv.value, from_jsonl.value)
    np.testing.assert_array_equal(from_csv.hash, from_jsonl.hash)


def test_readings_without_a_fault_scatter_around_the_truth_by_their_sources_noise(simulated):
    kilograms = np.where(simulated.pounds, simulated.value * 0.45359237, simulated.value)
    for code, source in enumerate(SOURCES):
        chosen = (simulated.source == code) & (simulated.fault == Fault.NONE)
        error = (kilograms - simulated.level)[chosen]
        # Rounding to steps adds its own variance, step²/12 (in pounds the step is 0.1 lb more).
        expected = np.hypot(source.noise, source.step / np.sqrt(12))
        # The standard deviation of n draws is itself known to 1/√(2n); four of those.
        assert np.std(error) == pytest.approx(expected, rel=4 / np.sqrt(2 * chosen.sum()) + 0.02)


def test_labelled_faults_are_faults_and_come_as_often_as_asked(simulated):
    kilograms = np.where(simulated.pounds, simulated.value * 0.45359237, simulated.value)
    off = np.abs(kilograms - simulated.level)
    assert np.all(off[simulated.fault == Fault.OUTLIER] > 0.5)
    assert np.all(off[simulated.fault == Fault.UNIT_MISTAKE] > 20)
    assert np.all(off[simulated.fault == Fault.SLIP] > 20)
    n = len(simulated.fault)
    rates = Rates()
    for fault, rate in (
        (Fault.OUTLIER, rates.outliers),
        (Fault.UNIT_MISTAKE, rates.unit_mistakes),
        (Fault.DUPLICATE, rates.duplicates),
    ):
        count = int((simulated.fault == fault).sum())
        assert abs(count - n * rate) < 5 * np.sqrt(n * rate)


def test_a_duplicate_repeats_its_original_in_every_field_but_its_arrival(simulated):
    rows = {}
    for position in np.argsort(simulated.fault == Fault.DUPLICATE, kind="stable"):
        row = tuple(
            column[position]
            for name, column in zip(SimulatedReadings._fields, simulated, strict=True)
            if name not in ("arrival", "fault")
        )
        key = (simulated.user[position], simulated.number[position])
        if simulated.fault[position] == Fault.DUPLICATE:
            assert rows[key] == row
        rows[key] = row


def test_readings_come_in_order_of_arrival_and_some_arrive_late(simulated):
    assert np.all(np.diff(simulated.arrival) >= 0)
    assert np.all(simulated.arrival >= simulated.time)
    overtaken = np.diff(simulated.time[np.argsort(simulated.user, kind="stable")]) < 0
    assert overtaken.any()
    assert 0.01 < simulated.late.mean() < 0.05


def test_nothing_is_taken_after_the_end_or_before_the_beginning_in_local_time(simulated):
    local = simulated.time + simulated.offset.astype(np.int64) * 60_000_000
    assert local.min() >= PERIOD_END - 90 * DAY
    assert local.max() < PERIOD_END


def test_without_faults_nothing_is_labelled():
    clean = all_of(50, 30, 0, outliers=0, unit_mistakes=0, slips=0, duplicates=0)
    assert not clean.fault.any()


def test_the_truth_file_has_the_level_and_fault_of_each_reading(tmp_path):
    out, truth = tmp_path / "r.jsonl", tmp_path / "t.jsonl"
    simulate_to_files(200, 60, 4, out, truth)
    readings = [json.loads(line) for line in out.read_text().splitlines()]
    truths = [json.loads(line) for line in truth.read_text().splitlines()]
    assert [line["index"] for line in truths] == list(range(len(readings)))
    for reading, line in zip(readings, truths, strict=True):
        assert (reading["user_id"], reading["timestamp"]) == (line["user_id"], line["timestamp"])
        if line["fault"] is None:
            factor = 0.45359237 if reading["unit"] == "lb" else 1.0
            assert abs(reading["value"] * factor - line["level"]) < 6 * 0.95
    assert {line["fault"] for line in truths} >= {None, "outlier", "duplicate"}


@pytest.mark.parametrize(
    ("users", "days", "seed", "word"),
    [(0, 1, 1, "--users"), (1, 0, 1, "--days"), (1, 9999, 1, "--days"), (1, 1, -1, "--seed")],
)
def test_a_number_out_of_range_is_named_and_nothing_is_written(tmp_path, users, days, seed, word):
    with pytest.raises(WrongUsage, match=word):
        simulate_to_files(users, days, seed, tmp_path / "out.jsonl", None)
    assert list(tmp_path.iterdir()) == []


def test_a_gzipped_file_holds_the_same_lines(tmp_path):
    simulate_to_files(10, 30, 1, tmp_path / "a.jsonl", None)
    simulate_to_files(10, 30, 1, tmp_path / "a.jsonl.gz", None)
    packed = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes())
    assert packed == (tmp_path / "a.jsonl").read_bytes()
