"""The report of a real batch: what its page says is what its results, summary and history say."""

import json
import re
import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests.support.kalmap_command import kalmap

ATTACK = "<script>alert(1)</script>"
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def ran(shared, tmp_path_factory):
    """A batch that got its report beside its results."""
    folder = tmp_path_factory.mktemp("report")
    readings = [
        {
            "user_id": user, "timestamp": f"2026-03-{day:02d}T08:00:00Z",
            "value": 160.0 if (user, day) == ("u-2", 9) else 80.0 + day / 10,
            "source": "scale" if day % 2 else "app",
        }
        for user in (ATTACK, *(f"u-{n}" for n in range(12)))
        for day in range(1, 13)
    ]  # fmt: skip
    lines = [*map(json.dumps, readings), '{"user_id": "u-1", "timestamp": "never", "value": 1}']
    (folder / "readings.jsonl").write_text("\n".join(lines))
    words = ("run", "readings.jsonl", "--out", "out", "--stack", "kalmap")
    return folder, kalmap(*words, cwd=folder, **shared.variables, KALMAP_REPORT="yes")


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_a_batch_gets_its_report_beside_its_results(ran):
    folder, outcome = ran
    assert outcome.code == 0
    assert "report      out/report.html\n" in outcome.out
    page = (folder / "out" / "report.html").read_text()
    summary = json.loads((folder / "out" / "summary.json").read_text())
    text = text_of(page)
    assert f"Batch {summary['batch_id'][:12]}" in text
    received, accepted = (summary["readings"][kind] for kind in ("received", "accepted"))
    assert f"{received} readings of 13 users; {accepted} accepted." in text
    assert "All readings of the batch are counted." in text
    assert ATTACK not in page
    assert page.count("<script") == 1


def test_its_states_are_those_of_the_execution(ran):
    page = (ran[0] / "out" / "report.html").read_text()
    reached = re.findall(r'<tr><th scope="row">(\w+)</th><td><span class="(\w+)">', page)
    assert [name for name, _ in reached if name.endswith(("Users", "States"))] == [
        "LoadStates",
        "FilterUsers",
        "WriteStates",
    ]
    assert {outcome for name, outcome in reached} == {"done"}
    assert reached[0][0] == "IdentifyBatch"
    assert reached[-1][0] == "BatchCompleted"


def test_its_sources_count_what_the_results_count(ran):
    page = (ran[0] / "out" / "report.html").read_text()
    row = r'<th scope="row">{}</th><td class="n">(\d+)</td><td class="n">(\d+)</td>'
    counted = {source: re.findall(row.format(source), page)[0] for source in ("scale", "app")}
    lines = [json.loads(line) for line in (ran[0] / "out" / "results.jsonl").open()]
    for source, odd in (("scale", 1), ("app", 0)):
        read = [
            line for line in lines if line["timestamp"] and int(line["timestamp"][8:10]) % 2 == odd
        ]
        accepted = [line for line in read if line["status"] == "accepted"]
        assert counted[source] == (str(len(read)), str(len(accepted)))


def test_kalmap_report_writes_it_again_with_fewer_users_and_no_ids(ran, shared):
    folder, _ = ran
    batch = json.loads((folder / "out" / "summary.json").read_text())["batch_id"]
    outcome = shared.kalmap("report", batch[:8], "--users", "4", "--anonymise", cwd=folder)
    assert (outcome.code, outcome.out) == (0, f"report-{batch[:12]}.html\n")
    page = (folder / f"report-{batch[:12]}.html").read_text()
    assert not re.search(r"\bu-\d", page)
    assert "alert" not in page
    assert "4 of 13 users" in page


@pytest.fixture(scope="module")
def reports(ran, shared):
    """The reports of three batches: one that succeeded, one that failed, one without a user."""
    folder, _ = ran
    for out, options in (
        ("failed", ("--write-mode", "none", "--limits", "unusable=0")),
        ("empty", ("--share", "0-0.000001")),
    ):
        words = ("run", "readings.jsonl", *options, "--out", out, "--stack", "kalmap")
        kalmap(*words, cwd=folder, **shared.variables, KALMAP_REPORT="yes")
    return {name: folder / name / "report.html" for name in ("out", "failed", "empty")}


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_reports_of_real_batches_open_in_a_browser_without_a_complaint_or_a_request(reports):
    said, requests = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        for file, status in zip(
            reports.values(), ("succeeded", "failed", "succeeded"), strict=True
        ):
            page.goto(file.as_uri())
            assert status in page.locator("header").inner_text()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            assert page.locator("#machine svg").is_visible()
        browser.close()
    assert (said, requests) == ([], [file.as_uri() for file in reports.values()])


def test_a_number_of_users_below_zero_is_refused(ran, shared):
    outcome = shared.kalmap("report", "ab", "--users", "-1", cwd=ran[0])
    assert (outcome.code, outcome.out) == (2, "")
    assert "--users is -1; it must be from 0 to 10,000." in outcome.err


def test_a_user_is_shown_and_drawn_and_found_among_those_who_need_a_look(ran, shared):
    folder, _ = ran
    shown = shared.kalmap("show", "u-2", cwd=folder)
    assert shown.code == 0
    assert "u-2  body-weight, in kg" in shown.out
    assert "rejected  2026-03-09 08:00  160 kg" in shown.out
    drawn = shared.kalmap("show", "u-2", "--out", "u.svg", cwd=folder)
    assert (drawn.code, drawn.out) == (0, "u.svg\n")
    assert (folder / "u.svg").read_text().startswith("<svg")
    # Users of other batches of this cloud may need a look, too.
    listed = shared.kalmap("users", "--by", "rejections", "--most", "10000", cwd=folder)
    assert any(line.startswith("u-2 ") for line in listed.out.splitlines())


def test_a_user_without_a_state_and_a_file_of_another_kind_are_refused(ran, shared):
    outcome = shared.kalmap("show", "nobody", cwd=ran[0])
    assert outcome.code == 2
    assert "There is no stored state of user 'nobody'." in outcome.err
    outcome = shared.kalmap("show", "u-2", "--out", "u.gif", cwd=ran[0])
    assert outcome.code == 2
    assert "--out u.gif must end in .svg, .png or .html." in outcome.err
