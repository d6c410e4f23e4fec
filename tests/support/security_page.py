"""The tables of docs/security.md."""

import re

from tests.support.template import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text()
_STORED = "What is stored, and for how long"


def table(heading: str) -> list[list[str]]:
    """The rows of the table below a heading, without its head."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def stored(column: int) -> dict[str, str]:
    """A column about what is stored, by each place that is named in code."""
    return {
        name: row[column] for row in table(_STORED) for name in re.findall(r"`([^`=]+)`", row[0])
    }
