"""Show a batch's progress while it runs, and print its summary at the end."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from kalmap.outcome import Status
from kalmap.plural import counted
from kalmap_cli.execution import Progress
from kalmap_cli.terminal import fit_to_terminal

if TYPE_CHECKING:  # it imports numpy, which most commands do without
    from kalmap_cli.batch_counts import BatchCounts

#: Characters of a batch's id that are shown. They tell it from other batches, and commands accept
#: them as the id.
SHORT_ID = 12
#: The summary counts these by reason.
_WITH_REASONS = ("rejected", "unreadable", "failed")
#: Seconds between two lines about one state, where there is no terminal.
_LINE_INTERVAL = 10.0
#: Seconds of a minute, and minutes of an hour.
_SIXTY = 60


class Screen:
    """Shows a batch's progress on stderr: live on a terminal, else as one line for each state.

    Use as a context manager around the batch.

    Args:
        live: Show it live; None to do so on a terminal.
        quiet: Show nothing.
    """

    def __init__(self, *, live: bool | None = None, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        terminal = self._console.is_terminal and sys.stdout.isatty()
        self._use_live = (terminal if live is None else live) and not quiet
        self._live: Live | None = None
        self._entries: list[_StateEntry] = []
        self._counts: BatchCounts | None = None
        self._note = ""

    def __enter__(self) -> Self:
        if self._use_live:
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
        # The summary at the end has the counts.
        self._note, self._counts = "", None
        if self._live:
            self._live.stop()
            self._live = None

    def note(self, text: str) -> None:
        """Show what the command does before or after the batch."""
        self._close_state()
        self._note = text
        if not self._live:
            self._print(text)

    def interrupt(self, text: str) -> None:
        """Show what the command does about an interrupted batch, whose state is unfinished."""
        self._close_state(unfinished=True)
        self.note(text)

    def show(self, progress: Progress, counts: "BatchCounts | None" = None) -> None:
        """Show the state that the batch is in, and what it has done."""
        self._note = ""
        self._counts = counts or self._counts
        if not self._entries or self._entries[-1].progress.event != progress.event:
            self._close_state(progress.entered)
            self._entries.append(_StateEntry(progress))
        entry = self._entries[-1]
        entry.progress, entry.counts, entry.first = progress, counts, entry.first or counts
        if not self._live and counts and entry.is_line_due():
            self._print(f"  {progress.state}{item_counts(progress)}, {entry.speed}")

    def _close_state(self, ended: float | None = None, *, unfinished: bool = False) -> None:
        if self._entries and self._entries[-1].seconds is None:
            entry = self._entries[-1]
            # The cloud's time, if known, is more exact than the time of our request.
            entry.seconds = entry.seconds_shown if ended is None else ended - entry.progress.entered
            entry.unfinished = unfinished
            if not self._live:
                suffix = ", not finished" if unfinished else ""
                self._print(f"  {entry.progress.state}{entry.work} {entry.seconds:.1f} s{suffix}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False)

    def _render(self) -> Group:
        table = Table.grid(padding=(0, 2))
        for entry in self._entries:
            symbol: Any = Spinner("dots") if entry.seconds is None else Text("✓", "green")
            if entry.progress.failed:
                symbol = Text("✗", "red")
            if entry.unfinished:
                symbol = Text("■", "yellow")
            seconds = entry.seconds_shown if entry.seconds is None else entry.seconds
            running = entry.seconds is None and entry.counts is not None
            work = entry.speed if running else entry.work.strip()
            table.add_row(symbol, entry.progress.state, work, f"{seconds:.1f} s")
        if self._note:
            table.add_row(Spinner("dots"), self._note, "", "")
        if self._counts is None or not self._counts.decisions:
            return Group(table)
        return Group(table, fit_to_terminal(decisions_in_words(self._counts), sys.stderr))


class _StateEntry:
    """A state that the batch has entered."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.counts: BatchCounts | None = None
        self.first: BatchCounts | None = None
        """The first counts, of the time when it was first shown."""
        self.shown = self._last_line = time.monotonic()
        self.seconds: float | None = None
        self.unfinished = False

    @property
    def seconds_shown(self) -> float:
        """Seconds since it was first shown."""
        return time.monotonic() - self.shown

    @property
    def work(self) -> str:
        """What it has done, such as ` 3/4 shards, 9,434 readings`; empty for most states."""
        items = item_counts(self.progress)
        if not items or self.counts is None:
            return items
        return f"{items}, {counted(self.counts.readings, 'reading')}"

    @property
    def speed(self) -> str:
        """Which part of its work is done, how fast, and how long the rest takes at that speed.

        A command that begins to watch in the middle measures from there. Before anything is done,
        an earlier batch tells how long the state may take.
        """
        if self.counts is None or self.first is None:
            return "0%"
        share, gained = self.counts.share, self.counts.share - self.first.share
        failed = f"{self.progress.failed} failed, " if self.progress.failed else ""
        seconds = self.seconds_shown
        if gained <= 0.0:
            return f"{failed}{share:.0%}{self._usual_rest(share, seconds)}"
        readings = (self.counts.readings - self.first.readings) / seconds
        left = in_words(seconds * (1.0 - share) / gained)
        return f"{failed}{share:.0%}, {readings:,.0f} readings/s, {left} left"

    def _usual_rest(self, share: float, seconds: float) -> str:
        """The time left if this goes as in an earlier batch; empty if it is slower, or unknown."""
        usual = self.counts.usual_seconds if self.counts else None
        if usual is None or share or round(usual - seconds) < 1:
            return ""
        return f", about {in_words(usual - seconds)} left"

    def is_line_due(self) -> bool:
        """Whether a state that takes long gets a line before its end; then the next is later."""
        due = time.monotonic() - self._last_line > _LINE_INTERVAL
        if due:
            self._last_line = time.monotonic()
        return due


def item_counts(progress: Progress) -> str:
    """How many items of a Map are done, as ` 3/4 shards`; empty for other states."""
    if not progress.total:
        return ""
    kind = "chunks" if progress.state == "PartitionMeasurements" else "shards"
    failed = f", {progress.failed} failed" if progress.failed else ""
    return f" {progress.done}/{progress.total} {kind}{failed}"


def in_words(seconds: float) -> str:
    """A time span as people say it: `7 s`, `4 min`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < _SIXTY:
        return f"{whole} s"
    minutes = round(whole / _SIXTY)
    if minutes < _SIXTY:
        return f"{minutes} min"
    return f"{minutes // _SIXTY} h {minutes % _SIXTY} min"


def decisions_in_words(counts: "BatchCounts") -> str:
    """What was decided so far: `8,900 of 10,000 readings: 8,850 accepted, 50 rejected (...)`."""
    decided = sum(counts.decisions.values())
    parts = [f"{counts.of_status(Status.ACCEPTED):,} accepted"]
    for status in (Status.REJECTED, Status.DUPLICATE, Status.UNREADABLE, Status.FAILED):
        reasons = counts.decisions.of_status(status)
        if not reasons:
            continue
        part = f"{sum(reasons.values()):,} {status.label}"
        if status.label in _WITH_REASONS:
            named = sorted(reasons.items(), key=lambda item: -item[1])
            part += f" ({', '.join(f'{reason.label} {number:,}' for reason, number in named)})"
        parts.append(part)
    return f"{decided:,} of {counts.total or 0:,} readings: {', '.join(parts)}"


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print a batch's summary as a table on stdout."""
    console = Console(highlight=False, soft_wrap=True)
    for label, figure, remark in summary_rows(summary):
        row = fit_to_terminal(f"{label:11}{figure:>10}  {remark}".rstrip(), sys.stdout, indent=23)
        line = Text(row)
        line.stylize("bold", 0, len(label))
        console.print(line)
    for hint in summary.get("hints") or ():
        console.print(fit_to_terminal(f"Hint: {hint}", sys.stdout, indent=6), markup=False)


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A summary as rows of label, figure and remark, without parts that it does not have."""
    rows = [("batch", "", f"{summary.get('batch_id', '')}  {summary.get('status', '')}")]
    readings = summary.get("readings") or {}
    for kind in ("received", "accepted", "rejected", "duplicate", "unreadable", "failed"):
        count = readings.get(kind, 0)
        remark = ""
        if kind in _WITH_REASONS:
            reasons = sorted((count or {}).items(), key=lambda reason: (-reason[1], reason[0]))
            remark = ", ".join(f"{reason} {number:,}" for reason, number in reasons if number)
            count = sum((count or {}).values())
        rows.append((kind, f"{count:,}", remark))
    if left_out := readings.get("left_out"):
        rows.append(("left out", f"{left_out:,}", "of users who are not in the share"))
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
