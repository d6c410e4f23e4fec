"""The report in a real browser: search, sort, keys, both colours, a phone, and no request."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from kalmap_cli.reporting.page import report_page
from kalmap_cli.reporting.sample import MOST_READINGS
from kalmap_cli.reporting.timeline import arrange
from tests.support.batch_views import ATTACK, view

CHROMIUM = shutil.which("chromium")
#: `make check` installs axe-core, and says here where it is.
AXE = os.environ.get("AXE")
USERS = [ATTACK, *(f"u-{n}" for n in range(30))]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    full = view(USERS)
    empty = full._replace(
        summary={}, sample=None, people=None, calibration=None, by_source=[], over_time=[],
        execution=None, timeline=arrange([]), profile=None,
    )  # fmt: skip
    pages = {
        "full": report_page(full),
        "failed": report_page(view(USERS[:2], reason=f"It failed because of {ATTACK}.")),
        "empty": report_page(empty),
        # As many readings as a report draws of a batch, however many that has.
        "large": report_page(view([f"u-{n}" for n in range(MOST_READINGS // 9)])),
    }
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page)
    return {name: folder / f"{name}.html" for name in pages}


class Opened:
    """A page, and what it has said and asked for since."""

    def __init__(self, browser: Browser, file: Path, **context: object) -> None:
        self.page: Page = browser.new_page(**context)
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())


@pytest.fixture
def opened(browser, files):
    pages = []

    def open_(name: str, **context: object) -> Opened:
        pages.append(Opened(browser, files[name], **context))
        return pages[-1]

    yield open_
    for each in pages:
        each.page.close()


def names(page: Page) -> list[str]:
    return page.locator("#user-table tbody tr:visible th").all_inner_texts()


@pytest.mark.parametrize("name", ["full", "failed", "empty", "large"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_says_nothing_in_the_console_and_asks_for_nothing_but_itself(
    opened, files, name, scheme
):
    report = opened(name, color_scheme=scheme)
    report.page.mouse.wheel(0, 4000)
    assert report.said == []
    assert report.requests == [files[name].as_uri()]
    assert report.page.evaluate("document.querySelectorAll('script').length") == 1


def test_a_report_is_small_however_many_readings_it_is_drawn_from(files):
    assert files["large"].stat().st_size < 2_000_000


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_window(opened, width):
    report = opened("full", viewport={"width": width, "height": 800})
    assert report.page.evaluate("document.documentElement.scrollWidth") <= width


def test_search_leaves_the_users_that_fit_and_counts_them(opened):
    page = opened("full").page
    page.get_by_label("Search for a user").fill("U-2")
    assert sorted(names(page)) == ["u-2", *(f"u-{n}" for n in range(20, 30))]
    assert page.locator("#found").inner_text() == "11 of 31"
    page.get_by_label("Search for a user").fill("")
    assert len(names(page)) == 31


def test_a_column_sorts_by_number_and_names_as_people_count(opened):
    page = opened("full").page
    head = page.locator("#user-table th", has=page.get_by_role("button", name="User"))
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page)[1:4] == ["u-0", "u-1", "u-2"]
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert names(page)[:2] == ["u-29", "u-28"]
    level = page.locator("#user-table th", has=page.get_by_role("button", name="Level"))
    level.get_by_role("button").click()
    assert (level.get_attribute("aria-sort"), head.get_attribute("aria-sort")) == (
        "descending",
        "none",
    )
    shown = page.locator("#user-table tbody tr td:nth-child(5)")
    values = [float(value) for value in shown.evaluate_all("c => c.map(x => x.dataset.value)")]
    assert values == sorted(values, reverse=True)


def test_the_points_of_a_chart_are_read_with_the_mouse_and_with_keys(opened):
    page = opened("full").page
    chart = page.locator("figure[id^=user-] .chart").first
    chart.locator("svg [aria-label*=rejected]").first.hover()
    assert "rejected, too far from what was expected" in page.locator("#tip").inner_text()
    page.mouse.move(0, 0)
    assert page.locator("#tip").is_hidden()
    chart.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text().startswith("1 March 2026 08:00")
    assert page.locator("#said").text_content() == page.locator("#tip").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_a_user_in_the_table_leads_to_its_chart(opened):
    page = opened("full").page
    link = page.locator("#user-table a").nth(3)
    name = link.inner_text()
    link.click()
    assert page.locator("figure:target strong").inner_text() == name


def test_everything_is_reached_with_tab_alone(opened):
    page = opened("full").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.evaluate(
        "window.reached = new Set(); addEventListener('focusin', "
        "(event) => reached.add(event.target.tagName + event.target.id))"
    )
    for _ in range(60):
        page.keyboard.press("Tab")
    assert {"INPUTsearch", "BUTTON", "A", "DIV"} <= {*page.evaluate("[...reached]")}


@pytest.mark.skipif(AXE is None, reason="`make check` runs this one")
@pytest.mark.parametrize("name", ["full", "failed", "empty"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(opened, name, scheme):
    page = opened(name, color_scheme=scheme).page
    page.evaluate(Path(AXE).read_text())
    found = page.evaluate("axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")
    assert found["passes"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
