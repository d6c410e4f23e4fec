"""What the performance monitor says about a batch, for the terminal."""

import sys
import time
from datetime import UTC, datetime

from kalmap.api.progress import progress
from kalmap.api.schemas import Phase
from kalmap.batch.folder import Folder
from kalmap.plural import counted
from kalmap.results.performance import bottlenecks, figures
from kalmap.results.report import STATES, StepName
from kalmap.results.totals import Totals, total
from kalmap_cli.terminal import fit_to_terminal
from kalmap_cli.text_table import aligned

_HEADS = (
    "step", "calls", "seconds", "median", "slowest", "at once", "processor", "request ms", "MB",
)  # fmt: skip
_NOTHING = "Nothing held this batch up."

#: The step that a running batch is in.
_STEPS: dict[Phase, StepName] = {
    "planning": "plan",
    "partitioning": "partition",
    "loading": "load",
    "filtering": "filter",
    "writing": "write",
    "completing": "complete",
}


def print_why_slow(folder: Folder, *, running: bool) -> None:
    """Print what each step of a batch took so far, and what held it up.

    Args:
        folder: The batch's.
        running: Whether it still runs. Then the last sentence says where it is.
    """
    rounds = range(folder.rounds())
    totals = total(report for number in rounds for report in folder.reports(number))
    lines = why_slow(totals, running=running)
    if running:
        lines.append(fit_to_terminal(_where_it_is(folder, totals, time.time()), sys.stdout))
    for line in lines:
        print(line)


def _where_it_is(folder: Folder, totals: Totals, now: float) -> str:
    """Where a running batch is, since when, and where to look if it stays there."""
    at = progress(folder)
    state = STATES[_STEPS[at.phase]]
    part = "chunk" if at.phase == "partitioning" else "shard"
    done = f", with {at.done:,} of {counted(at.total, part)} done" if at.total else ""
    since = max((end for _, end in totals.phases.values()), default=None)
    if since is None:
        return f"It is in {state}{done}. Nothing has told yet what it took."
    clock = datetime.fromtimestamp(since, UTC).strftime("%H:%M:%S")
    return (
        f"It is in {state}{done}. The last step that told what it took ended at {clock} UTC, "
        f"{now - since:,.0f} s ago. If that is long, see 'A batch that stands still' in "
        "docs/operations.md."
    )


def why_slow(totals: Totals, *, running: bool = False) -> list[str]:
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
    nothing = "Nothing that is done has held this batch up." if running else _NOTHING
    sentences = bottlenecks(totals, steps) or [nothing]
    return [*table, *(fit_to_terminal(sentence, sys.stdout) for sentence in sentences)]
