"""The fenced blocks of README.md by language, and its commands by the shell that runs them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()
KALMAP = ".venv/bin/kalmap"
SERVE = f"{KALMAP} serve\n"


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of one line, split into words: what stands before the API is served."""
    return [
        line.split()
        for block in blocks("sh")
        if block not in api_blocks()
        for line in block.splitlines()
        if line
    ]


def api_blocks() -> list[str]:
    """What is pasted into another shell while the API is served."""
    shown = blocks("sh")
    behind = shown[shown.index(SERVE) + 1 :]
    return behind[
        : next(position for position, block in enumerate(behind) if block.startswith("sam"))
    ]
