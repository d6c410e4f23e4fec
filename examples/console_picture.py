"""Take the picture of docs/console.md: a batch in the console of `kalmap serve`, while it runs.

make pictures
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chromium import headless_chromium
from playwright.sync_api import Browser

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: Simulated readings, always the same.
SIMULATED = ("--users", "1500", "--days", "60", "--seed", "7", "--out", "readings.csv")
SHARDS = {"KALMAP_READINGS_PER_SHARD": "3000"}
#: The picture is taken while this state runs.
STATE = "FilterUsers"
WIDTH, HEIGHT = 1120, 900
PATIENCE = 60


def command(*arguments: str) -> list[str]:
    """A command as a user types it."""
    return [sys.executable, "-m", "kalmap_cli.main", *arguments]


def address_of(folder: Path) -> str:
    """Wait until the console is served; returns its address."""
    end = time.monotonic() + PATIENCE
    while not (folder / "data" / "api-url").exists():
        if time.monotonic() > end:
            sys.exit("`kalmap serve` has not started.")
        time.sleep(0.2)
    return (folder / "data" / "console-url").read_text().strip()


def take(browser: Browser, address: str, file: Path, out: Path) -> None:
    """Upload a file, and take a picture of the batch while it runs."""
    size = {"width": WIDTH, "height": HEIGHT}
    page = browser.new_page(viewport=size, color_scheme="light", reduced_motion="reduce")
    page.goto(address)
    page.get_by_role("link", name="Upload", exact=True).click()
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Start the batch").click()
    page.wait_for_url("**/executions/run-*")
    page.get_by_role("link", name="Batches").click()
    # It is listed when it has been identified.
    while not page.locator("tbody a").count():
        page.reload()
    page.locator("tbody a").first.click()
    page.locator(f".machine .running:has-text('{STATE}')").wait_for()
    page.screenshot(path=out)
    print(out)


def main() -> None:
    """Serve the console, run the batch, and take the picture."""
    with headless_chromium() as browser, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(command("simulate", *SIMULATED), cwd=folder, check=True)
        serve = command("serve", "--data-dir", "data", "--port", "0")
        server = subprocess.Popen(serve, cwd=folder, env=os.environ | SHARDS)
        try:
            out = DOCS / "console-batch.png"
            take(browser, address_of(folder), folder / SIMULATED[-1], out)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


if __name__ == "__main__":
    main()
