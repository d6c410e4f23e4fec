"""Debian's chromium without a window, for the programs here that take pictures of pages."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright


@contextmanager
def headless_chromium() -> Iterator[Browser]:
    """Start chromium, and end it after the block."""
    path = shutil.which("chromium")
    if path is None:
        sys.exit("There is no chromium on this machine.")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--hide-scrollbars"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
