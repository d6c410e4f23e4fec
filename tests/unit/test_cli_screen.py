"""The progress and the summary of a batch on the screen."""

import io

import pytest
from rich.console import Console

from kalmap.outcome import Reason, Status
from kalmap.results.tally import Tally
from kalmap_cli import screen as screen_module
from kalmap_cli.batch_counts import BatchCounts
from kalmap_cli.errors import RunFailed
from kalmap_cli.execution import Progress
from kalmap_cli.screen import Screen, decisions_in_words, in_words, summary_rows
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


def counts(readings, share):
    decisions = Tally(
        {
            (Status.ACCEPTED, Reason.NONE): readings - 3,
            (Status.REJECTED, Reason.OUTLIER): 1,
            (Status.REJECTED, Reason.UNIT_SUSPECT): 2,
        }
    )
    return BatchCounts(readings, share, 4000, decisions)


def test_a_state_that_takes_long_gets_lines_with_its_speed_and_the_time_left(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: now[0])
    progress = Progress(4, 100.5, "FilterUsers", 0, 0, 4)
    with Screen(live=False) as screen:
        screen.show(progress, counts(3, 0.0))
        for second, share in ((5.0, 0.125), (12.0, 0.25), (15.0, 0.5)):
            now[0] = second
            screen.show(progress._replace(done=1), counts(round(4000 * share), share))
    first, last = capsys.readouterr().err.splitlines()
    assert first == "  FilterUsers 1/4 shards, 25%, 83 readings/s, 36 s left"
    assert last == "  FilterUsers 1/4 shards, 2,000 readings 15.0 s"


def test_who_begins_to_watch_in_the_middle_is_told_the_speed_from_there(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: now[0])
    progress = Progress(4, 100.5, "FilterUsers", 2, 0, 4)
    with Screen(live=False) as screen:
        screen.show(progress, counts(2000, 0.5))
        for second, share in ((11.0, 0.5), (22.0, 0.75)):
            now[0] = second
            screen.show(progress, counts(round(4000 * share), share))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "  FilterUsers 2/4 shards, 50%",
        "  FilterUsers 2/4 shards, 75%, 45 readings/s, 22 s left",
    ]


def test_before_the_first_item_has_ended_an_earlier_batch_tells_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(screen_module.time, "monotonic", lambda: now[0])
    with Screen(live=True) as screen:
        begun = counts(3, 0.0)._replace(usual_seconds=20.0)
        screen.show(Progress(4, 100.5, "FilterUsers", 0, 0, 2), begun)
        now[0] = 8.0
        assert "0%, about 12 s left" in rendered(screen)[0]
        # It takes longer than the earlier one, so nobody knows.
        now[0] = 21.0
        assert "left" not in rendered(screen)[0]


def rendered(screen):
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(screen._render())
    return console.file.getvalue().splitlines()


def test_a_terminal_shows_speed_and_decisions_while_the_batch_runs():
    with Screen(live=True) as screen:
        screen.show(Progress(4, 100.5, "FilterUsers", 0, 0, 4), counts(3, 0.0))
        screen.show(Progress(4, 100.5, "FilterUsers", 1, 0, 4), counts(1000, 0.25))
        state, decisions = rendered(screen)
    assert "25%, " in state
    assert "1,000 of 4,000 readings: 997 accepted" in decisions
    # They stay while a state without items runs.
    with Screen(live=True) as screen:
        screen.show(Progress(4, 100.5, "FilterUsers", 4, 0, 4), counts(4000, 1.0))
        screen.show(Progress(9, 102.5, "AggregateResults", 0, 0, 0))
        *_, decisions = rendered(screen)
    assert "4,000 of 4,000 readings" in decisions
    # The summary has the counts, so they leave with the end.
    state, _ = rendered(screen)
    assert "4/4 shards, 4,000 readings" in state


def test_decisions_are_told_with_their_reasons_the_most_frequent_first():
    assert decisions_in_words(counts(1000, 0.25)) == (
        "1,000 of 4,000 readings: 997 accepted, 3 rejected (unit_suspect 2, outlier 1)"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (240, "4 min"),
        (3590, "1 h 0 min"),
        (7830, "2 h 10 min"),
    ],
)
def test_a_time_span_is_told_in_one_or_two_units(seconds, words):
    assert in_words(seconds) == words


def test_quiet_shows_nothing(capsys):
    with Screen(live=False, quiet=True) as screen:
        screen.note("Uploading 1 file")
        screen.show(Progress(1, 100.0, "PlanBatch", 0, 0, 0))
    assert capsys.readouterr() == ("", "")
