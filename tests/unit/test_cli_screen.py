"""The progress and the summary of a batch on the screen."""

import pytest

from kalmap_cli.errors import RunFailed
from kalmap_cli.execution import Progress
from kalmap_cli.screen import Screen, summary_rows
from tests.support.summary import SUMMARY


def test_a_summary_becomes_rows_with_reasons_sorted_by_count():
    rows = {label: (figure, remark) for label, figure, remark in summary_rows(SUMMARY)}
    assert rows["received"] == ("1,007", "")
    assert rows["rejected"] == ("3", "implausible_rate 2, outlier 1")
    assert rows["unreadable"] == ("4", "malformed 4")
    assert rows["failed"] == ("0", "")
    assert rows["users"] == ("9", "5 new, 9 changed")
    assert rows["cost"][0] == "$0.0012"
    assert rows["memory"] == ("81", "MB at most (filter)")


def test_an_incomplete_summary_of_a_failed_batch_is_shown():
    rows = summary_rows({"batch_id": "3f9a", "status": "failed", "readings": None, "users": None})
    assert rows[0] == ("batch", "", "3f9a  failed")


def test_without_a_terminal_each_state_is_a_line_once_it_is_left(capsys):
    with Screen(live=False) as screen:
        screen.note("Uploading 1 file")
        screen.show(Progress(1, 100.0, "PlanBatch", 0, 0, 0))
        screen.show(Progress(4, 100.5, "FilterUsers", 0, 0, 3))
        screen.show(Progress(4, 100.5, "FilterUsers", 3, 1, 3))
        screen.show(Progress(9, 102.75, "CompleteBatch", 0, 0, 0))
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines[0] == "Uploading 1 file"
    assert [line.split()[0] for line in lines[1:]] == ["PlanBatch", "FilterUsers", "CompleteBatch"]
    assert lines[1].endswith(" 0.5 s")
    assert lines[2].endswith("3/3 shards, 1 failed 2.2 s")


def ended_in_a_step(screen, error):
    screen.show(Progress(1, 100.0, "PlanBatch", 0, 0, 0))
    screen.show(Progress(4, 100.5, "PlanShards", 0, 0, 0))
    if error is KeyboardInterrupt:
        screen.interrupt("Stopping the batch")
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RunFailed])
@pytest.mark.parametrize(("live", "symbol"), [(False, ", not finished"), (True, "■ PlanShards")])
def test_an_interrupted_state_is_not_shown_as_done(capsys, live, symbol, error):
    with pytest.raises(error), Screen(live=live) as screen:
        ended_in_a_step(screen, error)
    printed = " ".join(capsys.readouterr().err.split())
    assert printed.count(symbol) == 1
    assert printed.count("not finished") + printed.count("■") == 1
    assert "✓ PlanShards" not in printed
