"""What the user sees: a batch's progress while it runs, and its summary when it has ended."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kalmap.wording import counted
from kalmap_cli.drive import Progress
from kalmap_cli.terminal import fitted

#: Letters of a batch's id: enough to tell it from others, and what `kalmap retry` takes.
ID_SHOWN = 12
_KINDS = ("rejected", "unreadable", "failed")


class Screen:
    """Shows a batch's progress on stderr: live on a terminal, else a line for each state.

    Use as a context manager around the batch.
    """

    def __init__(self, *, live: bool | None = None) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        terminal = self._console.is_terminal and sys.stdout.isatty()
        self._live_wanted = terminal if live is None else live
        self._live: Live | None = None
        self._states: list[_Entry] = []
        self._note = ""

    def __enter__(self) -> Self:
        if self._live_wanted:
            self._live = Live(
                console=self._console, get_renderable=self._render, refresh_per_second=8
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_state(unfinished=error is not None)
        self._note = ""
        if self._live:
            self._live.stop()
            self._live = None

    def note(self, text: str) -> None:
        """Say what is being done outside the batch itself."""
        self._close_state()
        self._note = text
        if not self._live:
            self._print(text)

    def interrupt(self, text: str) -> None:
        """Say what is being done about an interrupted batch; its step stays unfinished."""
        self._close_state(unfinished=True)
        self.note(text)

    def show(self, progress: Progress) -> None:
        """Show where the batch is."""
        self._note = ""
        if self._states and self._states[-1].progress.event == progress.event:
            self._states[-1].progress = progress
            return
        self._close_state(progress.entered)
        self._states.append(_Entry(progress))

    def _close_state(self, left: float | None = None, *, unfinished: bool = False) -> None:
        if self._states and self._states[-1].seconds is None:
            entry = self._states[-1]
            # By the cloud's clock where it tells: looking now and then is less exact.
            entry.seconds = entry.so_far if left is None else left - entry.progress.entered
            entry.unfinished = unfinished
            if not self._live:
                ended = ", not finished" if unfinished else ""
                self._print(f"  {entry.progress.state}{entry.items()} {entry.seconds:.1f} s{ended}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _render(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for entry in self._states:
            mark: Any = Spinner("dots") if entry.seconds is None else Text("✓", "green")
            if entry.progress.failed:
                mark = Text("✗", "red")
            if entry.unfinished:
                mark = Text("■", "yellow")
            seconds = entry.so_far if entry.seconds is None else entry.seconds
            table.add_row(mark, entry.progress.state, entry.items().strip(), f"{seconds:.1f} s")
        if self._note:
            table.add_row(Spinner("dots"), self._note, "", "")
        return Group(table)


class _Entry:
    """A state of the batch that was entered."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.began = time.monotonic()
        self.seconds: float | None = None
        self.unfinished = False

    @property
    def so_far(self) -> float:
        """Seconds since it was first shown."""
        return time.monotonic() - self.began

    def items(self) -> str:
        """How many of a Map's items are done, as ` 3/4 shards`."""
        return items(self.progress)


def items(progress: Progress) -> str:
    """How many of a Map's items are done, as ` 3/4 shards`; empty in a state that is no Map."""
    if not progress.total:
        return ""
    kind = "chunks" if progress.state == "PartitionMeasurements" else "shards"
    failed = f", {progress.failed} failed" if progress.failed else ""
    return f" {progress.done}/{progress.total} {kind}{failed}"


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print a batch's summary as a table on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    for label, figure, remark in summary_rows(summary):
        row = fitted(f"{label:11}{figure:>10}  {remark}".rstrip(), sys.stdout, indent=23)
        line = Text(row)
        line.stylize("bold", 0, len(label))
        console.print(line)
    for hint in summary.get("hints") or ():
        console.print(fitted(f"Hint: {hint}", sys.stdout, indent=6), markup=False)


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A summary as rows of label, figure and remark; parts it does not have are left out."""
    rows = [("batch", "", f"{summary.get('batch_id', '')}  {summary.get('status', '')}")]
    readings = summary.get("readings") or {}
    for kind in ("received", "accepted", "rejected", "duplicate", "unreadable", "failed"):
        given = readings.get(kind, 0)
        remark = ""
        if kind in _KINDS:
            reasons = sorted((given or {}).items(), key=lambda reason: (-reason[1], reason[0]))
            remark = ", ".join(f"{reason} {count:,}" for reason, count in reasons if count)
            given = sum((given or {}).values())
        rows.append((kind, f"{given:,}", remark))
    users = summary.get("users") or {}
    parts = [f"{users[kind]:,} {kind}" for kind in ("new", "changed", "failed") if users.get(kind)]
    rows.append(("users", f"{users.get('total', 0):,}", ", ".join(parts)))
    if (mean := (summary.get("quality") or {}).get("mean")) is not None:
        rows.append(("quality", f"{mean:.2f}", "mean of the accepted readings, 0 to 1"))
    if database := summary.get("database"):
        requests, _, noun = counted(database.get("requests", 0), "request").partition(" ")
        parts = [
            counted(round(database.get("write_units", 0)), "write unit"),
            counted(round(database.get("read_units", 0)), "read unit"),
            counted(database.get("conflicts", 0), "conflict"),
        ]
        rows.append(("database", requests, f"{noun}; {', '.join(parts)}"))
    if (total := (summary.get("time") or {}).get("total_seconds")) is not None:
        rows.append(("time", f"{total:.1f}", "seconds from start to completion"))
    if memory := summary.get("memory_mb"):
        function, peak = max(memory.items(), key=lambda item: item[1])
        rows.append(("memory", f"{peak:.0f}", f"MB at most ({function})"))
    if (cost := summary.get("cost_usd")) is not None:
        rows.append(("cost", f"${cost:.4f}", "estimated, if this had run on AWS"))
    return rows
