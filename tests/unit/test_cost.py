"""What a batch costs, before it runs and after it."""

import gzip
import math
import random
import re

import pytest

from kalmap.results.cost import (
    CHILD_TRANSITIONS,
    CONCURRENCY,
    PARENT_TRANSITIONS,
    ROUND_STEPS,
    ROUND_TRANSITIONS,
    SINGLE_STEPS,
    TABLE_CONCURRENCY,
    bill,
    estimate,
)
from kalmap.results.expected_use import MEMORY_GB, Size, expected_use, floor, one_call_a_reading
from kalmap.results.report import MAP_STEPS, STATES
from kalmap.results.totals import Totals
from kalmap.store.ports import DatabaseUse
from kalmap_cli.commands.cost import MAX_SHARDS, READINGS_PER_SHARD, WORK_DAYS
from tests.support.kalmap_command import kalmap
from tests.support.template import ROOT, definition, template

MILLION = Size(readings=1_000_000, users=100_000, bytes=143_000_000, chunks=9, shards=20)


def test_the_defaults_are_those_of_the_template():
    defaults = {name: one.get("Default") for name, one in template()["Parameters"].items()}
    assert defaults["ReadingsPerShard"] == READINGS_PER_SHARD
    assert defaults["MaxShards"] == MAX_SHARDS
    assert defaults["WorkDays"] == WORK_DAYS
    assert defaults["PartitionConcurrency"] == defaults["FilterConcurrency"] == CONCURRENCY
    assert defaults["LoadConcurrency"] == defaults["WriteConcurrency"] == TABLE_CONCURRENCY


def test_the_memory_of_each_function_is_that_of_the_template():
    common = template()["Globals"]["Function"]["MemorySize"]
    for step, gigabytes in MEMORY_GB.items():
        properties = template()["Resources"][f"{step.title()}Function"]["Properties"]
        assert properties.get("MemorySize", common) == 1024 * gigabytes


def test_the_estimate_of_a_batch_that_ran_is_the_bill_that_was_expected():
    use = expected_use(MILLION)
    ran = Totals(
        gb_seconds=use.gb_seconds,
        invocations=use.invocations,
        shards=20,
        first_shards=20,
        puts=use.puts,
        gets=use.gets,
        database=DatabaseUse(read_units=100_000, write_units=100_000),
    )
    expected = bill(use).total
    # Both know the starts of containers.
    assert estimate(ran, rounds=0) == pytest.approx(expected, rel=0.02)
    assert estimate(ran, rounds=1) > estimate(ran, rounds=0)


def test_the_database_is_the_floor_and_a_child_for_each_reading_costs_a_thousand_times_as_much():
    whole, least = bill(expected_use(MILLION)), bill(floor(MILLION))
    assert whole.dynamodb == least.total == pytest.approx(0.075)
    assert bill(one_call_a_reading(MILLION)).total > 900 * whole.total


def test_the_page_about_cost_shows_what_the_command_prints_and_what_sizes_of_shards_cost(tmp_path):
    page = (ROOT / "docs" / "cost.md").read_text()
    printed = kalmap("cost", "--users", 100_000, "--readings", 1_000_000, cwd=tmp_path).out
    shown = [line.removeprefix("    ") for line in page.splitlines() if line.startswith("    ")]
    assert shown[1:] == printed.splitlines()[: len(shown) - 1]
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| \$([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for readings, shards, cost in rows:
        count = min(MAX_SHARDS, math.ceil(1_000_000 / int(readings.replace(",", ""))))
        assert f"{count:,}" == shards
        total = bill(expected_use(MILLION._replace(shards=count))).total
        assert float(cost) == pytest.approx(total, rel=0.01)


def test_a_file_is_counted_whole_and_a_bad_number_is_refused(tmp_path):
    record = '{{"user_id": "u-{}", "timestamp": "{}", "value": 80}}\n'
    lines = [record.format(n % 3, "2026-03-01T08:00Z") for n in range(9)]
    (tmp_path / "w.jsonl").write_text("".join(lines) + record.format(9, "never"))
    told = kalmap("cost", "w.jsonl", cwd=tmp_path)
    assert told.code == 0, told.err
    assert told.out.startswith("9 readings of 3 users: 0.0 MB, 1 chunk, 1 shard\n")
    month = kalmap("cost", "--users", 5, "--readings", 9, "--per-day", cwd=tmp_path).out
    assert re.search(r"^a month: 30 batches +\$0\.03", month, re.MULTILINE)
    for words, sentence in (
        ((), "Name a file, or say how many: kalmap cost --users"),
        (("--users", "0", "--readings", "1"), "--users is 0; it must be at least 1."),
        (("--users", "3", "--readings", "2"), "--users is 3 and --readings is 2, but each user"),
        (("w.jsonl", "--users", "4"), "--users and --readings are instead of files."),
    ):
        refused = kalmap("cost", *words, cwd=tmp_path)
        assert (refused.code, refused.out) == (2, "")
        assert sentence in refused.err


def test_a_month_has_thirty_batches_their_files_and_the_states_with_their_recovery(tmp_path):
    printed = kalmap("cost", "--users", 10**6, "--readings", 10**6, "--per-day", cwd=tmp_path).out
    month = dict(re.findall(r"^(\w[^$]*?) +\$([\d.]+)$", printed, re.MULTILINE))
    # A day leaves 143 + 400 + 1,200 MB, which stay 30 days, at $0.023 a GB and month.
    assert month["files, kept 30 days"] == "1.20"
    # A million of 1,024 bytes, at $0.25 and $0.20 a GB and month.
    assert month["states, and their recovery"] == "0.461"
    one = bill(expected_use(Size(10**6, 10**6, 143 * 10**6, 9, 20))).total
    assert float(month["a month: 30 batches"]) == pytest.approx(30 * one, rel=0.01)


def test_files_are_counted_in_the_chunks_that_a_batch_of_them_has(tmp_path):
    digits = random.Random(1)
    record = '{{"user_id": "u", "timestamp": "2026-03-01T08:00Z", "value": 80, "unit": "{:x}"}}\n'
    text = "".join(record.format(digits.getrandbits(512)) for _ in range(8_000)).encode()
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(text)
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(text, 1))
    # Small files share a chunk. Gzipped ones count as what they inflate to.
    for files, chunks in (("a.jsonl b.jsonl", "1 chunk"), ("a.jsonl.gz b.jsonl.gz", "2 chunks")):
        [told, *_] = kalmap("cost", *files.split(), cwd=tmp_path).out.splitlines()
        assert told.endswith(f"MB, {chunks}, 1 shard"), told


def test_transitions_and_steps_are_those_of_the_definition_on_the_way_to_success():
    states = definition()["States"]
    whole = way(states, "IdentifyBatch", "BatchCompleted")
    again = way(states, "WaitForOthers", "AnyConflicts")
    assert (len(whole), len(again)) == (PARENT_TRANSITIONS, ROUND_TRANSITIONS)
    single = {state for step, state in STATES.items() if step not in MAP_STEPS}
    assert len(single & set(whole)) == SINGLE_STEPS
    assert len(single & set(again)) == ROUND_STEPS
    children = [states[STATES[step]]["ItemProcessor"] for step in MAP_STEPS]
    # A child is started, has one state where nothing fails, and ends.
    assert all(child["States"][child["StartAt"]]["End"] for child in children)
    assert CHILD_TRANSITIONS == 3


def way(states: dict, first: str, last: str) -> list[str]:
    """The states from one to another where nothing fails: each choice has that as its default."""
    passed = [first]
    while passed[-1] != last:
        state = states[passed[-1]]
        passed.append(state.get("Next") or state["Default"])
    return passed
