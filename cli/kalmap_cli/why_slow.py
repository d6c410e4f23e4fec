"""What the performance monitor says about a batch, for the terminal."""

import sys

from kalmap.batch.folder import Folder
from kalmap.results.performance import bottlenecks, figures
from kalmap.results.totals import Totals, total
from kalmap_cli.terminal import fit_to_terminal
from kalmap_cli.text_table import aligned

_HEADS = (
    "step", "calls", "seconds", "median", "slowest", "at once", "processor", "request ms", "MB",
)  # fmt: skip


def print_why_slow(folder: Folder) -> None:
    """Print what each step of a batch took so far, and what held it up."""
    rounds = range(folder.rounds())
    totals = total(report for number in rounds for report in folder.reports(number))
    for line in why_slow(totals):
        print(line)


def why_slow(totals: Totals) -> list[str]:
    """The lines: a table of the steps, and what to change."""
    steps = figures(totals)
    rows = [
        (
            step,
            f"{one.invocations:,}",
            f"{one.wall_seconds:.1f}",
            f"{one.median_seconds:.2f}",
            f"{one.max_seconds:.2f}",
            f"{one.at_once:.1f}",
            f"{one.cpu_share:.0%}",
            "" if one.request_ms is None else f"{one.request_ms:.1f}",
            f"{one.memory_mb:.0f}",
        )
        for step, one in steps.items()
    ]
    if not rows:
        return ["No step of this batch has told what it took."]
    table = aligned([_HEADS, *rows], range(1, len(_HEADS)))
    sentences = bottlenecks(totals, steps) or ["Nothing held this batch up."]
    return [*table, *(fit_to_terminal(sentence, sys.stdout) for sentence in sentences)]
