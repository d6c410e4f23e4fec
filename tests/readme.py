"""What README.md shows: its fenced blocks by language."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
KALMAP = ".venv/bin/kalmap"


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, without their fences."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of every shell block, split into words."""
    return [line.split() for block in blocks("sh") for line in block.splitlines() if line]
