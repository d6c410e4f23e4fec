"""The report of a batch that has ended, or that could not be saved."""

import json
import resource
import subprocess
import sys

import pytest

from kalmap_cli.batch_run import BatchRun
from kalmap_cli.deployment import Deployment, aws_clients
from kalmap_cli.errors import DONE, InterruptMessage, RunFailed, Unsaved, WrongUsage
from kalmap_cli.execution import ExecutionEnd, PollIntervals
from kalmap_cli.listed_batches import find_batch
from kalmap_cli.report import print_report
from kalmap_cli.results_folder import FetchedResults
from kalmap_cli.stack import Stack

PLACE = Deployment(aws_clients(), Stack("", "", "", ""), PollIntervals(0.1, 0.1), "")


def report_of(summary, folder, capsys):
    unreadable = folder / "unreadable.jsonl"
    unreadable.touch()
    rejected = folder / "rejected.jsonl"
    lines = len(rejected.read_text().splitlines()) if rejected.exists() else 0
    fetched = FetchedResults(
        results=None,
        unreadable=unreadable,
        unreadable_lines=0,
        rejected=rejected if lines else None,
        rejected_lines=lines,
        summary=folder / "summary.json",
        failed=None,
        revisions=None,
        content=summary,
        unit="kg",
    )
    assert print_report(BatchRun(ExecutionEnd(True, "", "p", "3f9a"), fetched, PLACE)) == DONE
    return capsys.readouterr().out


@pytest.mark.parametrize("changed", [0, 1])
def test_the_report_says_that_no_state_has_changed_only_if_none_has(tmp_path, capsys, changed):
    # Known readings change states where another profile takes over.
    summary = {
        "batch_id": "3f9a",
        "status": "succeeded",
        "readings": {"received": 5, "duplicate": 3, "rejected": {"too_late": 2}},
        "users": {"total": 1, "changed": changed},
    }
    printed = report_of(summary, tmp_path, capsys)
    assert ("no state has changed" in printed) == (not changed)


def test_when_stdout_is_full_the_error_says_that_the_batch_has_ended(tmp_path, monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with (tmp_path / "log").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        (tmp_path / "unreadable.jsonl").touch()
        # No file may have a byte, as on a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        try:
            with pytest.raises(
                RunFailed, match=r"^The batch has ended, .*`kalmap status` shows how"
            ):
                report_of({"batch_id": "3f9a"}, tmp_path, None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_closed_stdout_is_no_failure():
    command = 'exec "$0" -m kalmap_cli --version >&-'
    ended = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_the_first_rejected_readings_are_shown_with_the_file_and_line_they_came_from(
    tmp_path, capsys
):
    reading = {
        "user_id": "u-17", "value": 179.4, "reason": "unit_suspect", "index": 41, "predicted": 81.2
    }  # fmt: skip
    places = [("a.csv", 12), ("a.csv", 15), ("old.csv", None), ("b.csv", 2)]
    (tmp_path / "rejected.jsonl").write_text(
        "".join(json.dumps(reading | {"file": f, "line": n}) + "\n" for f, n in places)
    )
    printed = report_of({"batch_id": "3f9a", "status": "succeeded"}, tmp_path, capsys)
    why = "u-17, 179.4 kg would be 81.374 if it was in lb, where 81.20 was expected"
    assert f"a.csv line 12: {why}" in printed
    assert f"old.csv (record 42 of the batch): {why}" in printed
    assert "and 1 more" in printed
    assert "b.csv" not in printed


def test_an_empty_id_names_no_batch():
    with pytest.raises(WrongUsage, match="id is empty"):
        find_batch(PLACE, "")


def test_the_error_about_an_unsaved_batch_says_how_the_batch_ended():
    ended = "Batch 3f9a has succeeded. Its results are in out."
    sentence = f"^{ended} The local cloud could not save: no space."
    how_far = InterruptMessage("Nothing was started.")
    how_far.sentence = ended
    with pytest.raises(RunFailed, match=sentence), how_far:
        raise Unsaved("The local cloud could not save: no space.")
