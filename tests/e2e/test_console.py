"""The console of `kalmap serve`: what its pages say of a real batch, also in a browser."""

import csv
import json
import os
import re
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from playwright.sync_api import sync_playwright

from tests.support.console import ended, serving, text_of

ATTACK = "<script>alert(1)</script>"
CHROMIUM = shutil.which("chromium")
#: `make check` installs axe-core, and says here where it is.
AXE = os.environ.get("AXE")
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


def readings() -> bytes:
    rows = [
        {
            "user_id": user, "timestamp": f"2026-03-{day:02d}T08:00:00Z",
            "value": 160.0 if (user, day) == ("u-2", 9) else 80.0 + day / 10, "unit": "kg",
        }
        for user in (ATTACK, *(f"u-{n}" for n in range(8)))
        for day in range(1, 13)
    ]  # fmt: skip
    broken = '{"user_id": "<b>u</b>", "timestamp": "never", "value": 1}'
    return "\n".join([*map(json.dumps, rows), broken]).encode()


@pytest.fixture(scope="module")
def console(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("console")) as served:
        yield served


@pytest.fixture(scope="module")
def execution(console):
    """The path of the execution of a batch that was uploaded, and has ended."""
    started = console.upload("../../etc/<i>readings.jsonl", readings(), {})
    assert started.code == 303, text_of(started.text)
    console.until_ended(started.headers["location"])
    return started.headers["location"]


@pytest.fixture(scope="module")
def batch(console, execution):
    """The path of its page in the console."""
    return re.search(r"/batches/[0-9a-f]{32}", console.ask(execution).text)[0]


# What the pages say.


def test_an_upload_runs_as_a_batch_and_its_page_counts_what_happened(console, batch):
    page = console.page(batch)
    assert page.code == 200
    text = text_of(page.text)
    assert "✓ succeeded" in text
    for shown in ("received 109", "accepted 107", "rejected 1 outlier 1", "unreadable 1"):
        assert shown in text
    assert "FilterUsers" in text
    assert "succeeded" in text_of(console.page("/").text)


def test_results_are_filtered_and_downloaded_as_they_are_shown(console, batch):
    page = console.page(f"{batch}/results?status=rejected").text
    assert len(re.findall("<tr>", page)) == 2
    assert "too far from what was expected" in page
    lines = console.page(f"{batch}/results.jsonl?status=rejected").body.splitlines()
    assert [json.loads(line)["user_id"] for line in lines] == ["u-2"]
    table = console.page(f"{batch}/results.csv?user=u-3")
    assert "default-src 'none'" in table.headers["content-security-policy"]
    rows = [*csv.DictReader(table.text.splitlines())]
    assert [row["value"] for row in rows] == [str(80.0 + day / 10) for day in range(1, 13)]
    assert len(console.page(f"{batch}/results.jsonl").body.splitlines()) == 109


def test_results_come_in_pages_that_follow_each_other(console, batch):
    path, seen = f"{console.base}{batch}/results", []
    while path:
        page = console.ask(path).text
        seen += re.findall(r'<tr><td class="n">(\d+)</td>', page)
        following = re.search(r'href="([^"]*)">Next page', page)
        path = following and following[1].replace("&amp;", "&")
    assert sorted(map(int, seen)) == [*range(109)]


def test_unreadable_records_have_their_file_line_and_fault(console, batch):
    page = console.page(f"{batch}/unreadable")
    assert "line 109" in page.text
    assert ">&lt;i&gt;readings.jsonl<" in page.text
    assert "&lt;b&gt;u&lt;/b&gt;" in page.text
    assert console.page(f"{batch}/unreadable?reason=bad_value").text.count("line 109") == 0
    [line] = console.page(f"{batch}/unreadable.jsonl").body.splitlines()
    assert json.loads(line)["reason"] == "bad_timestamp"


def test_an_execution_shows_what_each_state_and_item_was_given_and_gave(console, execution):
    page = console.ask(execution).text
    assert page.count("<details>") >= 15
    assert "&#34;profile&#34;: &#34;body-weight&#34;" in page
    assert execution.rpartition("/")[2] in console.page("/executions").text
    items = console.ask(f"{execution}/maps/1").text
    assert "1 of 1 succeeded" in items
    item = re.search(rf'href="({re.escape(execution)}/maps/1/[^"]*)"', items)[1]
    assert "&#34;chunk&#34;" in console.ask(item).text


def test_users_are_listed_searched_and_shown_with_their_chart(console, batch):
    page = read(console, "/users?by=rejections").text
    assert re.findall(r'<th scope="row" class="id"><a [^>]*>([^<]*)', page)[0] == "u-2"
    found = read(console, "/users?search=SCRIPT").text
    assert "1 of 9 users" in found
    user = console.page("/user?id=u-2").text
    assert "160 kg, where" in user
    assert "<svg" in user


def read(console, path):
    """A page that may first say that what it shows is being read."""
    for _ in range(50):
        page = console.page(path)
        if "refresh" not in page.headers:
            return page
    raise AssertionError(page.text)


def test_the_report_of_a_batch_is_one_of_its_pages(console, batch):
    report = text_of(read(console, f"{batch}/report").text)
    assert "All readings of the batch are counted." in report
    assert "Does the profile fit?" in report


def test_markup_in_an_id_or_a_file_is_text_on_every_page(console, batch, execution):
    pages = [
        "/", batch, *(f"{batch}/{name}" for name in ("results", "unreadable", "report")),
        f"{batch}/results?user={ATTACK}", "/users", f"/users?search={ATTACK}",
        f"/user?id={ATTACK}", f"/user?id={ATTACK}x", f"/batches/{ATTACK}", "/upload",
    ]  # fmt: skip
    for path in (*pages, execution.removeprefix(console.base)):
        page = read(console, path)
        assert ATTACK not in page.text, path
        assert re.findall("<script[^>]*>", page.text) == [
            f'<script defer src="{console.base}/files/script.js">'
        ]
        assert "<i>" not in page.text
        assert "style=" not in page.text


def test_a_batch_without_results_has_no_link_to_them_and_says_once_what_to_do(console):
    started = console.upload("empty.csv", b"user_id,timestamp,value\n", {})
    ended = console.until_ended(started.headers["location"])
    path = re.search(r"/batches/[0-9a-f]{32}", ended)[0]
    page = console.page(path)
    assert "The input has a header but no records." in page.text
    assert page.text.count("kalmap retry") == 1
    links = re.findall(rf'href="{console.base}{path}(/[^"]*)"', page.text)
    assert links == ["/report"]
    assert read(console, f"{path}/report").code == 200
    assert console.page(f"{path}/results").code == 404


def test_a_file_that_is_not_certain_gets_its_question_and_the_fields_answer_it(console):
    content = b"Date;Poids\n01/02/2026;80,1\n02/02/2026;80,2\n"
    asked = console.upload("poids.csv", content, {"dates": "", "user": "me"})
    assert asked.code == 400
    text = text_of(asked.text)
    assert "Nothing was started." in text
    assert "--dates day_first" in text
    assert 'value="me"' in asked.text
    fields = {"user": "me", "dates": "day_first", "rehearsal": "yes"}
    started = console.upload("poids.csv", content, fields)
    assert started.code == 303, text_of(started.text)
    page = console.until_ended(started.headers["location"])
    assert "&#34;status&#34;: &#34;rehearsed&#34;" in page


def test_limits_and_a_rehearsal_are_those_of_kalmap_run(console):
    broken = "\n".join(f'{{"user_id": "u", "timestamp": "{n}", "value": 1}}' for n in range(9))
    fields = {"limits": "unusable=2"}
    refused = console.upload("a.jsonl", readings() + b"\n" + broken.encode(), fields)
    assert "a limit is a share and must be a number from 0 to 1" in text_of(refused.text)
    fields = {"limits": "unusable=0.5", "rehearsal": "yes"}
    started = console.upload("a.jsonl", readings() + b"\n" + broken.encode(), fields)
    page = console.until_ended(started.headers["location"])
    assert "&#34;unusable&#34;: 0.5" in page
    assert "&#34;status&#34;: &#34;rehearsed&#34;" in page


def test_a_profile_is_a_name_and_never_a_file(console):
    refused = console.upload("a.jsonl", readings(), {"profile": "/etc/hostname"})
    assert refused.code == 400
    assert "There is no built-in profile of this name." in text_of(refused.text)


@pytest.mark.parametrize(
    ("path", "code", "sentence"),
    [
        ("/batches/nothing", 404, "There is no batch whose id begins with nothing."),
        ("/user?id=nobody", 404, "There is no stored state of user &#39;nobody&#39;."),
        ("/executions/nothing", 404, "There is no such execution."),
        ("/executions/a:b", 404, "There is no such execution."),
        (f"/executions/{9999 * 'a'}", 404, "There is no such execution."),
        (f"/batches/{9999 * 'a'}", 404, "There is no batch of such a long id."),
        ("/user?id=", 404, "There is no stored state of user"),
        (f"/user?id={9999 * 'a'}", 404, "There is no stored state of user"),
        ("/?started=%00&after=%ff", 200, "Batches"),
        ("/executions?next=x", 404, "This list has changed."),
        ("/users?page=%D9%A3&group=-1", 200, "Users"),
        ("/nothing", 404, "There is no such page."),
        ("/users?by=size", 400, "by must be one of drift, rejections, quality, silent."),
        ("/files/../app.py", 404, "There is no such page."),
    ],
)
def test_what_is_not_there_gets_a_sentence(console, path, code, sentence):
    page = console.page(path)
    assert page.code == code
    assert sentence in page.text


# In a browser.


class Tab:
    """A page, and what the browser has complained about and asked for since."""

    def __init__(self, browser, console, **context) -> None:
        self.console = console
        self.page = browser.new_page(**context)
        self.said: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._note)
        self.page.goto(console.address)

    def _note(self, request) -> None:
        if not request.url.startswith(f"{self.console.origin}/"):
            self.elsewhere.append(request.url)

    def open(self, path: str):
        self.page.goto(f"{self.console.origin}{self.console.base}{path}")
        # What a page may say first is that what it shows is being read.
        self.page.locator("main > p[role=status]").wait_for(state="detached")
        return self.page


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def tab(browser, console):
    tabs = []

    def open_(**context) -> Tab:
        tabs.append(Tab(browser, console, **context))
        return tabs[-1]

    yield open_
    for each in tabs:
        each.page.close()
        assert (each.said, each.elsewhere) == ([], [])


def paths(batch: str, execution: str) -> list[str]:
    name = execution.rpartition("/")[2]
    return [
        "/", batch, *(f"{batch}/{part}" for part in ("results", "unreadable", "report")),
        "/executions", f"/executions/{name}", f"/executions/{name}/maps/1", "/users",
        "/user?id=u-2", f"/user?id={ATTACK}", "/upload",
    ]  # fmt: skip


@in_a_browser
def test_the_address_opens_the_console_and_is_not_kept_in_the_browser(tab, batch):
    page = tab().page
    assert "token" not in page.url
    assert page.locator("h1").inner_text() == "Batches"
    assert page.evaluate("document.cookie") == ""


class OtherPort(BaseHTTPRequestHandler):
    """A page of another program of this machine, which sends a form to the console at once."""

    seen: ClassVar[list[str]] = []
    console = ""

    def do_GET(self):
        self.seen.append(f"{self.path} {self.headers.get('cookie', '')}")
        form = f'<form method=post enctype=multipart/form-data action="{self.console}/upload">'
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(f"{form}<button>Free weights</button></form>".encode())

    def log_message(self, *_):
        pass


@in_a_browser
def test_a_page_of_another_port_of_this_machine_gets_no_cookie_and_starts_nothing(
    browser, console, execution
):
    OtherPort.console = f"{console.origin}{console.base}"
    before = console.page("/executions").text.count("run-")
    context = browser.new_context()
    with ThreadingHTTPServer(("127.0.0.1", 0), OtherPort) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = context.new_page()
        page.goto(console.address)
        assert page.locator("h1").inner_text() == "Batches"
        page.goto(f"http://127.0.0.1:{other.server_address[1]}/")
        fetched = "fetch('{}/', {{credentials: 'include'}}).then(() => 'read', () => 'refused')"
        assert page.evaluate(fetched.format(OtherPort.console)) == "refused"
        page.get_by_role("button").click()
        page.locator("h1").wait_for()
        assert page.locator("h1").inner_text() == "This console is closed to you"
        other.shutdown()
    context.close()
    assert OtherPort.seen[0] == "/ "
    assert not any("kalmap" in each for each in OtherPort.seen)
    assert console.page("/executions").text.count("run-") == before


@in_a_browser
@pytest.mark.parametrize("width", [400, 1200])
def test_no_page_of_the_console_is_wider_than_its_window(tab, batch, execution, width):
    opened = tab(viewport={"width": width, "height": 800})
    for path in paths(batch, execution):
        wide = opened.open(path).evaluate("document.documentElement.scrollWidth")
        assert (path, wide) == (path, width)


@in_a_browser
def test_a_batch_of_an_upload_is_watched_to_its_end(tab, console, tmp_path):
    rows = (
        f"w-{n % 500},2026-03-{1 + n // 1000:02d}T08:00:{n % 60:02d}Z,80.5" for n in range(28_000)
    )
    (tmp_path / "weights.csv").write_text("user_id,timestamp,value\n" + "\n".join(rows))
    watching = tab()
    page = watching.open("/upload")
    page.get_by_label("File", exact=True).set_input_files(tmp_path / "weights.csv")
    page.get_by_role("button", name="Start the batch").click()
    page.wait_for_url("**/executions/run-*")
    page.locator(".machine .running").first.wait_for()
    page.route("**/live/**", lambda route: route.abort())
    page.get_by_text("kalmap serve does not answer").wait_for()
    page.unroute("**/live/**")
    page.get_by_text("kalmap serve does not answer").wait_for(state="detached")
    watching.said.clear()
    page.locator("h1 .badge.good").wait_for(timeout=60_000)
    assert page.locator(".machine .running").count() == 0
    assert page.locator(".machine .done").count() == 15
    page.get_by_role("link", name=re.compile("^[0-9a-f]{12}$")).click()
    assert "28,000" in page.locator(".cards").inner_text()


@in_a_browser
def test_a_chart_of_the_console_is_read_with_the_mouse_and_with_keys(tab, batch):
    page = tab().open("/user?id=u-2")
    page.locator(".chart svg [aria-label*=rejected]").first.hover()
    assert "160 kg, rejected" in page.locator("#tip").inner_text()
    page.locator(".chart").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text().startswith("1 March 2026 08:00")


@in_a_browser
def test_users_are_found_and_filters_are_set_with_keys_alone(tab, batch):
    page = tab().open("/users")
    page.get_by_label("Id with").focus()
    page.keyboard.type("u-3")
    page.keyboard.press("Enter")
    page.wait_for_url("**search=u-3**")
    assert page.locator("tbody th").all_inner_texts() == ["u-3"]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") in {"kalmap", "Batches"}


@in_a_browser
def test_the_console_needs_no_script_but_to_show_what_is_running(tab, batch, execution):
    opened = tab(java_script_enabled=False)
    opened.page.goto(f"{opened.console.origin}{opened.console.base}{batch}/results")
    opened.page.get_by_label("Status").select_option("rejected")
    opened.page.get_by_role("button", name="Show").click()
    assert opened.page.locator("tbody tr").count() == 1


@in_a_browser
@pytest.mark.skipif(AXE is None, reason="`make check` runs this one")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_console_that_keeps_people_out(tab, batch, execution, scheme):
    opened = tab(color_scheme=scheme, bypass_csp=True)
    for path in paths(batch, execution):
        page = opened.open(path)
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        page.evaluate(Path(AXE).read_text())
        found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")
        assert found["passes"]
        faults = [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
        assert (path, faults) == (path, [])


# The last test of this file: it ends the console.


def test_ctrl_c_names_the_batch_that_it_stops(console):
    rows = (f"z-{n % 700},2026-03-{1 + n // 1000:02d}T08:00:00Z,80.5" for n in range(28_000))
    content = "user_id,timestamp,value\n" + "\n".join(rows)
    started = console.upload("weights.csv", content.encode(), {})
    assert started.code == 303
    deadline = time.monotonic() + 30
    while not (running := re.search("/batches/([0-9a-f]{12}).*… running", listed(console))):
        assert time.monotonic() < deadline
    printed, _ = ended(console.process)
    assert f"kalmap retry {running[1]} --data-dir data" in printed
    assert "Traceback" not in printed


def listed(console) -> str:
    return console.page("/").text
