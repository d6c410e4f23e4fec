"""Take the pictures of docs/report.md: a real batch, its report in a browser, and one user.

make pictures
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from chromium import headless_chromium
from playwright.sync_api import Page

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: Simulated readings, always the same.
SIMULATED = ("--users", "300", "--days", "60", "--seed", "7", "--out", "readings.jsonl")
WIDTH = 1120


def kalmap(folder: Path, *arguments: str) -> None:
    """Run a command as a user does, with several shards."""
    environment = os.environ | {"KALMAP_READINGS_PER_SHARD": "1000"}
    command = [sys.executable, "-m", "kalmap_cli.main", *arguments]
    subprocess.run(command, cwd=folder, env=environment, check=True)


def take(page: Page, first: str, last: str, out: Path) -> None:
    """Take a picture from the top of one element to the end of another."""
    top = page.locator(first).bounding_box()
    end = page.locator(last).bounding_box()
    if top is None or end is None:
        sys.exit(f"The report has no {first} or no {last}.")
    height = end["y"] + end["height"] - top["y"] + 24
    clip = {"x": 0, "y": max(top["y"] - 8, 0), "width": WIDTH, "height": height}
    page.screenshot(path=out, clip=clip, full_page=True)
    print(out)


def main() -> None:
    """Run the batch and take the pictures."""
    with headless_chromium() as browser, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kalmap(folder, "simulate", *SIMULATED)
        kalmap(folder, "run", "readings.jsonl", "--out", "out")
        kalmap(folder, "show", "u-000271", "--replace", "--out", str(DOCS / "report-user.svg"))
        size = {"width": WIDTH, "height": 900}
        page = browser.new_page(viewport=size, color_scheme="light")
        page.goto((folder / "out" / "report.html").as_uri())
        take(page, "#machine", "#machine .beside", DOCS / "report-machine.png")
        page = browser.new_page(viewport=size, color_scheme="dark")
        page.goto((folder / "out" / "report.html").as_uri())
        take(page, "#users", "#users figure:nth-child(4)", DOCS / "report-users.png")


if __name__ == "__main__":
    main()
