"""The report of a large batch: how long `kalmap report` takes, its memory, and its page.

The batch runs on the local cloud of `kalmap serve`, so that the figures are those of the command
alone. Its page must be below 2 MB, and a browser must open it without a complaint, without a
request, and within a phone's width, if there is a chromium. Linux only.

    python benchmarks/report.py [--users 35000] [--days 90]
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: The most that a report may have, in bytes.
MOST_BYTES = 2_000_000
PATIENCE = 120
PHONE = {"width": 360, "height": 800}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "kalmap_cli", *arguments]


def kalmap(folder: Path, *arguments: str) -> None:
    """Run a command to its end, without a report of its own."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=os.environ | {"KALMAP_REPORT": "no"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def wait_for(file: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not file.exists():
        if time.monotonic() > end:
            raise SystemExit("`kalmap serve` has not started.")
        time.sleep(0.2)


def timed(folder: Path, *arguments: str) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and MB of a command."""
    begun = time.perf_counter()
    process = subprocess.Popen(command(*arguments), cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"kalmap {' '.join(arguments)} has failed.")
    seconds = time.perf_counter() - begun
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000


def in_a_browser(page: Path, chromium: str) -> str:
    """Open the page on a phone; returns how long that took.

    Raises:
        SystemExit: It is not as it must be.
    """
    from playwright.sync_api import sync_playwright

    said: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport=PHONE)
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        begun = time.perf_counter()
        tab.goto(page.as_uri())
        seconds = time.perf_counter() - begun
        width = tab.evaluate("document.documentElement.scrollWidth")
        browser.close()
    if said or requests != [page.as_uri()] or width > PHONE["width"]:
        raise SystemExit(f"In a browser: {said}, {requests}, {width} pixels wide.")
    return f"{seconds:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--users", type=int, default=35_000)
    parser.add_argument("--days", type=int, default=90)
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kalmap(
            folder, "simulate", "--users", str(options.users), "--days", str(options.days),
            "--seed", "1", "--out", "readings.jsonl",
        )  # fmt: skip
        serve = command("serve", "--data-dir", "data", "--port", "0")
        server = subprocess.Popen(
            serve, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            wait_for(folder / "data" / "api-url")
            kalmap(folder, "run", "readings.jsonl", "--data-dir", "data", "--out", "out")
            summary = json.loads((folder / "out" / "summary.json").read_text())
            seconds, processor, memory = timed(
                folder, "report", summary["batch_id"], "--data-dir", "data", "--out", "report.html"
            )
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()
        page = folder / "report.html"
        size = page.stat().st_size
        opened = in_a_browser(page, chromium) if chromium else "no browser"
    print("| readings | seconds | processor, s | memory, MB | page, MB | opened in, s |")
    print("|--:|--:|--:|--:|--:|--:|")
    print(
        f"| {summary['readings']['received']:,} | {seconds:.1f} | {processor:.1f} "
        f"| {memory:.0f} | {size / 1e6:.2f} | {opened} |"
    )
    print(
        f"\nLoad of the machine, over a minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    )
    if size >= MOST_BYTES:
        raise SystemExit(f"The page has {size:,} bytes, and may have {MOST_BYTES:,}.")


if __name__ == "__main__":
    main()
