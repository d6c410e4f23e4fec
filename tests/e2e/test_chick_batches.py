"""`make demo`: real weighings as three consecutive batches, then one of them once more."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from kalmap.profile import load_profile
from tests.support.expected_files import fold_files, stored
from tests.support.kalmap_command import ROOT, environment, kalmap, processes_of


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Where the demo ran; its output is in `said`."""
    directory = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (directory / "said").write_text(done.stdout + done.stderr)
    return directory / ".demo"


@pytest.fixture(scope="module")
def states_before(demo):
    return states(demo)


@pytest.fixture(scope="module")
def repeated(demo, states_before):
    """The third batch's file run a second time."""
    file = next((demo / "input").glob("days-16*"))
    out = demo / "again"
    ran = kalmap("run", file, "--out", out, *chicks(), "--data-dir", demo / "data", cwd=demo)
    assert ran.code == 0, ran.err
    return out


def chicks():
    return ("--profile", ROOT / "examples" / "chick-growth.json")


def states(demo):
    listed = kalmap("states", "--exact", "--data-dir", demo / "data", cwd=demo)
    assert listed.code == 0, listed.err
    return listed.out


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def inputs(demo):
    return sorted((demo / "input").iterdir(), key=lambda path: int(path.stem.split("-")[1]))


def test_every_weighing_has_one_result_in_the_order_of_the_input(demo):
    total = 0
    for number, file in enumerate(inputs(demo), start=1):
        with file.open(newline="") as opened:
            weighings = list(csv.DictReader(opened))
        results = lines(demo / f"batch-{number}" / "results.jsonl")
        assert [result["index"] for result in results] == list(range(len(weighings)))
        for weighing, result in zip(weighings, results, strict=True):
            assert result["user_id"] == weighing["user_id"]
            assert result["value"] == float(weighing["value"])
        total += len(results)
    assert total == 578


def test_the_summarys_counts_are_those_of_the_results_and_add_up(demo):
    for number in (1, 2, 3):
        summary = json.loads((demo / f"batch-{number}" / "summary.json").read_text())
        counted = summary["readings"]
        results = lines(demo / f"batch-{number}" / "results.jsonl")
        counts_of_results = Counter((result["status"], result["reason"]) for result in results)
        assert counted["received"] == len(results)
        assert counted["accepted"] == counts_of_results.pop(("accepted", None))
        for status in ("rejected", "unreadable", "failed"):
            for reason, count in counted[status].items():
                assert counts_of_results.pop((status, reason), 0) == count
        assert counted["duplicate"] == counts_of_results.pop(("duplicate", "duplicate"), 0)
        assert not counts_of_results


def test_later_batches_continue_from_the_states_of_earlier_ones(demo):
    new = [
        json.loads((demo / f"batch-{number}" / "summary.json").read_text())["users"]["new"]
        for number in (1, 2, 3)
    ]
    assert new == [50, 0, 0]
    # A chick's growth in the third week cannot be known from the third week's first weighing.
    first = {}
    for result in lines(demo / "batch-3" / "results.jsonl"):
        first.setdefault(result["user_id"], result)
    known = [result for result in first.values() if result["predicted"] is not None]
    assert len(known) == len(first)
    assert np.median([abs(result["innovation"]) for result in known]) < 20


def test_three_batches_leave_the_states_of_one_fold_over_everything(demo, states_before):
    profile = load_profile((ROOT / "examples" / "chick-growth.json").read_bytes())
    assert stored(states_before) == fold_files(profile, inputs(demo))


def test_states_are_listed_by_user_with_readable_estimates_and_can_be_chosen(demo, states_before):
    listed = [json.loads(line) for line in states_before.splitlines()]
    users = [state["user_id"] for state in listed]
    assert users == sorted(users)
    assert len(users) == 50
    chosen = kalmap(
        "states", "--exact", "--user", "chick-20", "--data-dir", demo / "data", cwd=demo
    )
    assert json.loads(chosen.out) == listed[users.index("chick-20")]
    assert set(listed[0]) == {"user_id", "profile", "level", "slope", "as_of", "state"}
    unknown = kalmap("states", "--user", "nobody", "--data-dir", demo / "data", cwd=demo)
    assert unknown.code == 2
    assert "nobody" in unknown.err


def test_the_demo_shows_the_output_paths_and_leaves_no_process_running(demo):
    printed = (demo.parent / "said").read_text()
    for name in ("results.jsonl", "unreadable.jsonl", "summary.json"):
        assert name in printed
    assert re.search(r"FilterUsers ([2-9])/\1 shards", printed), "progress by shards"
    assert processes_of(demo.parent) == []


def test_the_same_file_again_is_all_duplicates_and_nothing_is_written(
    demo, states_before, repeated
):
    before = lines(demo / "batch-3" / "results.jsonl")
    again = lines(repeated / "results.jsonl")
    assert len(again) == len(before)
    assert {result["status"] for result in again} <= {"duplicate", "rejected"}
    assert {result["reason"] for result in again} <= {"duplicate", "too_late"}
    summary = json.loads((repeated / "summary.json").read_text())
    assert summary["database"]["write_units"] == 0
    assert summary["users"]["changed"] == 0
    assert states(demo) == states_before


def test_status_lists_the_batches_and_shows_one(demo, repeated):
    listed = kalmap("status", "--data-dir", demo / "data", cwd=demo)
    assert listed.code == 0, listed.err
    batch = json.loads((repeated / "summary.json").read_text())["batch_id"]
    rows = [line for line in listed.out.splitlines() if "succeeded" in line]
    assert len(rows) == 4
    assert rows[0].startswith(f"{batch[:12]} ")
    assert all(len(row) <= 80 for row in rows), "a terminal's width, where there is no reason"
    one = kalmap("status", rows[0].split()[0], "--data-dir", demo / "data", cwd=demo)
    assert one.code == 0
    assert batch in one.out
    assert "duplicate" in one.out
    none = kalmap("status", "nope", "--data-dir", demo / "data", cwd=demo)
    assert none.code == 2
    assert "nope" in none.err
