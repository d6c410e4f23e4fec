"""What a report says of a batch: calibration, critical path, state machine, and the page itself."""

import re
from datetime import timedelta

import msgspec
import numpy as np
import pytest

from kalmap_cli.batch_report import write_report
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import RunFailed
from kalmap_cli.execution import PollIntervals
from kalmap_cli.reporting import needs_extra
from kalmap_cli.reporting.batch_view import Count, over_time
from kalmap_cli.reporting.calibration import calibration_of
from kalmap_cli.reporting.charts import stacked
from kalmap_cli.reporting.drawing import draw_svg
from kalmap_cli.reporting.execution_view import Items
from kalmap_cli.reporting.machine import draw_machine
from kalmap_cli.reporting.page import report_page
from kalmap_cli.reporting.palette import OF_PAGE
from kalmap_cli.reporting.readings_section import calibration_section
from kalmap_cli.reporting.timeline import Task, arrange
from kalmap_cli.screen import Screen
from kalmap_cli.stack import Stack
from tests.support.batch_views import ATTACK, BEGAN, executed, sample, view
from tests.support.template import definition


def test_surprises_as_large_as_the_profile_says_need_nothing() -> None:
    calibration = calibration_of(sample(["u"], 4000))
    assert calibration is not None
    assert calibration.mean_nis == pytest.approx(1.0, abs=0.1)
    assert [round(one.share, 2) for one in calibration.coverage] == pytest.approx(
        [0.5, 0.8, 0.9, 0.95, 0.99], abs=0.02
    )
    assert sum(bar.share for bar in calibration.pit) == pytest.approx(1.0)
    assert sum(bar.expected for bar in calibration.nis) == pytest.approx(0.986, abs=0.001)
    assert calibration.sentences[-1] == "The profile fits these readings. There is nothing to do."


def test_surprises_twice_as_large_ask_for_another_profile() -> None:
    calibration = calibration_of(sample(["u"], 4000, scatter=2.0))
    assert calibration is not None
    assert "about 2.0 times as far as the profile says" in calibration.sentences[-1]
    assert "`kalmap tune FILE`" in calibration.sentences[-1]


def test_surprises_much_smaller_ask_for_another_profile_too() -> None:
    calibration = calibration_of(sample(["u"], 4000, scatter=0.5))
    assert calibration is not None
    assert "wider than they need to be" in calibration.sentences[-1]


def test_the_critical_path_has_the_last_task_of_each_step_of_each_round() -> None:
    tasks = [
        Task("load", 0, 0, 0.0, 1.0, 5, None),
        Task("load", 0, 1, 0.0, 3.0, 5, None),
        Task("filter", 0, 0, 3.5, 6.0, 5, None),
        Task("filter", 0, 1, 3.5, 5.0, 5, None),
        Task("load", 1, 1, 7.0, 7.5, 1, None),
    ]
    timeline = arrange(tasks)
    critical = [task.name for task in timeline.tasks if task.is_critical]
    assert critical == ["LoadStates 1", "FilterUsers 0", "LoadStates 1, round 1"]
    assert timeline.at_work == pytest.approx(3.0 + 2.5 + 0.5)


def test_tasks_that_waited_for_a_place_bring_those_before_them_onto_the_critical_path() -> None:
    # Two at a time: 3 could begin when 0 had ended, and 4 when 3 had.
    spans = [(0.0, 2.0), (0.0, 3.0), (3.1, 4.0), (2.1, 4.0), (4.2, 6.0)]
    timeline = arrange([Task("filter", 0, n, *span, 5, None) for n, span in enumerate(spans)])
    critical = [task.number for task in timeline.tasks if task.is_critical]
    assert critical == [0, 3, 4]
    assert timeline.at_work == pytest.approx(2.0 + 1.9 + 1.8)


def test_a_reading_of_another_century_does_not_make_all_others_one_bar() -> None:
    drawn = sample(["u-1"], 9)
    time = drawn.time.copy()
    time[3] = np.datetime64("2126-03-01")  # the rejected one
    bars = over_time(drawn._replace(time=time))
    assert [one.place for one in bars] == [f"2026-03-{day:02d}" for day in (1, 2, 3, 5, 6, 7, 8, 9)]
    assert {(one.status, one.readings) for one in bars} == {("accepted", 1)}


def test_every_task_of_the_critical_path_is_drawn_however_many_there_are() -> None:
    tasks = [Task("filter", 0, n, 0.0, 9.0 if n == 70 else 1.0, 5, None) for n in range(500)]
    timeline = arrange(tasks)
    assert len(timeline.drawn) < len(timeline.tasks) == 500
    assert [task.number for task in timeline.drawn if task.is_critical] == [70]


def test_the_state_machine_is_drawn_from_its_definition_each_state_at_its_own_place() -> None:
    machine = draw_machine(executed("IdentifyBatch"))
    assert {box.state.name for box in machine.boxes} == set(definition()["States"])
    assert len({(box.x, box.y) for box in machine.boxes}) == len(machine.boxes)
    assert all(box.x + box.width <= machine.width for box in machine.boxes)
    assert all(box.y + box.height <= machine.height for box in machine.boxes)


def test_what_an_execution_did_in_each_state_is_told_apart() -> None:
    states = ("IdentifyBatch", "LoadStates", "FilterUsers", "RecordFailure", "BatchFailed")
    execution = executed(*states)
    identify, load, filter_, record, end = execution.visits
    visits = [
        identify._replace(retries=2, error="Lambda.ServiceException"),
        load._replace(is_map=True, items=Items(4, 3, 1)),
        filter_._replace(left=None, error="States.Timeout"),
        record,
        end._replace(left=None),
    ]
    machine = draw_machine(execution._replace(status="FAILED", visits=visits))
    outcomes = {state.name: (state.outcome, state.note) for state in machine.states}
    assert outcomes["IdentifyBatch"] == ("done", "0.5 s, 2 retried")
    assert outcomes["LoadStates"] == ("partly failed", "0.5 s, 3/4 items")
    assert outcomes["FilterUsers"] == ("caught", "caught")
    assert outcomes["BatchFailed"] == ("failed", "failed")
    assert outcomes["WriteStates"] == ("not reached", "not reached")


def test_without_its_definition_the_states_that_were_visited_are_drawn() -> None:
    execution = executed("IdentifyBatch", "ClaimBatch", "PlanBatch")
    machine = draw_machine(execution._replace(definition={}))
    assert [box.state.name for box in machine.boxes] == ["IdentifyBatch", "ClaimBatch", "PlanBatch"]
    assert [box.y for box in machine.boxes] == sorted({box.y for box in machine.boxes})
    assert machine.boxes[0].y >= 0
    page = report_page(view(["u-1"])._replace(execution=execution._replace(definition={})))
    assert "The definition that ran is not known any more" in page


def test_an_execution_that_was_stopped_says_in_which_state() -> None:
    execution = executed("IdentifyBatch", "PlanBatch", status="ABORTED")
    first, last = execution.visits
    machine = draw_machine(execution._replace(visits=[first, last._replace(left=None)]))
    outcomes = {state.name: state.outcome for state in machine.states}
    assert outcomes["PlanBatch"] == "stopped"


def test_users_ids_and_sentences_are_text_everywhere() -> None:
    page = report_page(view([ATTACK, "u-2"], reason=f"It failed because of {ATTACK}."))
    assert "alert(" in page
    assert ATTACK not in page
    assert page.count("<script") == 1


def test_a_chart_with_characters_that_no_drawing_may_have_is_drawn_with_others() -> None:
    # The library that draws does not refuse them: it ends the whole process.
    rows = [("\x1b[31mred", "late", 3), ("\x00", "late", 1), ("\ufffe", "late", 1)]
    drawn = draw_svg(stacked(rows, ["late"], OF_PAGE, is_time=False), OF_PAGE)
    assert "\ufffd[31mred: 3 late" in drawn


def test_a_source_is_shown_on_one_line_and_short() -> None:
    # A name of 60,000 characters took minutes to draw.
    sources = ["\x1b[31mred", 2_000 * "s", "scale"]
    counts = [Count(source, "rejected", "outlier", 8) for source in sources]
    page = report_page(view(["u-1"])._replace(by_source=counts))
    assert "_[31mred: 8 too far" in page
    assert f"{35 * 's'}…: 8 too far" in page
    assert 40 * "s" not in page


def test_a_page_names_no_address_but_those_of_formats() -> None:
    page = report_page(view(["u-1"]))
    assert set(re.findall(r"(?:https?:)?//[^\s\"'<)]+", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "default-src 'none'" in page


def test_an_anonymous_report_has_no_id_no_source_sentence_and_one_name_for_each_user() -> None:
    users = [f"secret-{n}" for n in range(4)]
    page = report_page(
        view(users, reason="It failed for secret-3 in /home/secret-1."), anonymise=True
    )
    assert "secret-" not in page
    assert "A hint about" not in page
    assert "It failed for" not in page
    assert page.count(">user 1</a>") == page.count("<strong>user 1</strong>") == 1


def test_a_report_has_as_many_users_as_were_asked_for() -> None:
    users = [f"u-{n}" for n in range(50)]
    few = report_page(view(users), users=3)
    assert len(set(re.findall(r"u-\d+", few)) & set(users)) == 3
    assert "3 of 50 users" in few
    none = report_page(view(users), users=0)
    assert not set(re.findall(r"\bu-\d+", none)) & set(users)


def test_a_page_of_a_batch_that_runs_says_so() -> None:
    running = view(["u-1"])
    page = report_page(
        running._replace(record=msgspec.structs.replace(running.record, status="RUNNING"))
    )
    assert "The batch was running, and this is what it had done by then." in page
    assert "All readings of the batch are counted." not in page


def test_commands_in_sentences_are_set_as_code() -> None:
    page = report_page(view(["u-1"], reason="`kalmap retry 3f9a` runs <it> again."))
    assert "<code>kalmap retry 3f9a</code> runs &lt;it&gt; again." in page


def test_without_the_extra_a_sentence_says_what_to_install() -> None:
    with pytest.raises(RunFailed) as refused, needs_extra():
        raise ModuleNotFoundError(name="jinja2")
    assert "package jinja2, which is not installed. `pip install " in str(refused.value)


def test_what_goes_wrong_with_a_report_is_said_and_does_not_fail_the_run(
    tmp_path, monkeypatch
) -> None:
    def no_client(service: str) -> None:
        raise OSError(f"There is no {service} here.")

    place = Deployment(no_client, Stack("", "work", "", ""), PollIntervals(0.1, 0.1), "")
    record = view(["u-1"]).record
    for value, said in (
        ("no", None),
        ("maybe", "none. KALMAP_REPORT is 'maybe'; it must be yes or no."),
        ("yes", "none: There is no s3 here. `kalmap report abababababab` tries again."),
    ):
        monkeypatch.setenv("KALMAP_REPORT", value)
        written = write_report(Screen(), place, record, tmp_path)
        assert (written and written.why_none) == said
        assert not written or written.path is None
    assert list(tmp_path.iterdir()) == []


def test_a_batch_without_results_has_a_page_too() -> None:
    empty = view(["u-1"])._replace(
        summary={}, sample=None, people=None, calibration=None, by_source=[], over_time=[],
        execution=None, timeline=arrange([]), profile=None,
    )  # fmt: skip
    page = report_page(empty)
    assert "The batch has no results" in page
    assert "this one has not come so far" in page


def test_what_is_drawn_of_a_large_batch_says_that_it_is_a_sample() -> None:
    large = view(["u-1"])
    assert large.sample is not None
    drawn = large.sample._replace(all_shards=40, one_user_in=3)
    page = report_page(large._replace(sample=drawn))
    said = "This is a sample: 1 of 40 shards, and one user in 3 of theirs, 9 readings."
    assert page.count(said) == 3
    assert "This is a sample" not in report_page(large)


def test_the_newest_readings_of_a_user_are_drawn_with_what_was_decided() -> None:
    page = report_page(view(["u-1"]))
    last = BEGAN + timedelta(days=8)
    assert f"{last.day} March 2026 08:00" in page
    assert "rejected, too far from what was expected" in page


def test_a_batch_that_changed_no_level_says_so_where_the_charts_would_be() -> None:
    drawn = view(["u-1"])
    unknown = {name: np.full(9, np.nan) for name in drawn.sample.numbers}
    page = report_page(drawn._replace(sample=drawn.sample._replace(numbers=unknown)))
    assert "This batch changed no level, so there is no chart." in page
    assert "its 95 % interval" not in page


def test_the_line_of_what_is_expected_goes_over_the_last_bar() -> None:
    [figure, _] = calibration_section(calibration_of(sample(["u-1"], 400)))["figures"]
    [line] = re.findall(r'd="([^"]*)"[^>]*stroke="var\(--wrong\)"', figure.chart)
    assert max(float(x) for x in re.findall(r"[ML]([\d.]+),", line)) == 430
