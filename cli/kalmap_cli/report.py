"""Print the outcome of a batch, and where its files are."""

import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kalmap.outcome import Reason
from kalmap.plural import counted
from kalmap_cli.errors import DONE, RunFailed
from kalmap_cli.file_names import shortened
from kalmap_cli.option_names import with_option_names
from kalmap_cli.reporting.rejection import why_rejected
from kalmap_cli.results_folder import FetchedResults
from kalmap_cli.screen import SHORT_ID, print_summary
from kalmap_cli.terminal import fit_to_terminal

if TYPE_CHECKING:  # they import numpy, which most commands do without
    from kalmap_cli.batch_run import BatchRun
    from kalmap_cli.reporting.movers import Mover

#: Lines of a file that are printed.
_SHOWN = 3
#: The files of a batch, as `--json` names them.
_FILES = ("results", "rejected", "unreadable", "failed", "revisions", "summary")
_FAILED = "failed"
#: Width of the label before each file.
_LABEL = 12


def print_report(run: "BatchRun", *, quiet: bool = False, as_json: bool = False) -> int:
    """Print the summary and the paths of all files.

    Args:
        run: The batch.
        quiet: Print no text.
        as_json: Print one JSON object, and no text.

    Returns:
        The exit code.

    Raises:
        RunFailed: The batch failed, or stdout cannot be written.
    """
    try:
        if as_json:
            print(json.dumps(_as_json(run)))
        elif not quiet:
            _print_end(run)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunFailed(
            f"The batch has ended, but stdout could not be written: {error.strerror}. "
            f"`kalmap status{run.deployment.options}` shows how it ended."
        ) from error
    if not run.end.succeeded:
        reason = with_option_names(run.end.reason)
        raise RunFailed(f"The batch failed: {reason} {run.fresh_note}".rstrip())
    return DONE


def _as_json(run: "BatchRun") -> dict[str, Any]:
    """The summary, and under `files` the path of each file, or null."""
    fetched = run.fetched
    if fetched is None:
        return {"batch_id": run.end.batch_id, "status": _FAILED, "files": {}}
    report = run.report.path if run.report else None
    files = {name: getattr(fetched, name) for name in _FILES} | {"report": report}
    return fetched.content | {"files": {name: path and str(path) for name, path in files.items()}}


def _print_end(run: "BatchRun") -> None:
    end, fetched, deployment, report, earlier = run
    if fetched is not None:
        # A failed batch with --fresh is deleted when the earlier data comes back.
        can_retry = deployment.set_aside is None or end.succeeded
        print_fetched(fetched, deployment.options if can_retry else None)
        if report:
            _print_movers(report.movers)
            _print_row(f"report      {report.path or report.why_none}")
    if end.succeeded and end.ran_before:
        _print_line("This batch had run before and was not run again. These are its results.")
    elif fetched is not None and (sentence := _nothing_new(fetched.content)):
        _print_line(sentence)
    if earlier is not None:
        _print_line(earlier)
    if run.fresh_note and end.succeeded:
        _print_line(run.fresh_note)


def _print_movers(movers: "list[Mover] | None") -> None:
    """Print the users whose level moves most."""
    if movers == []:
        _print_row("moving      no user: noise explains every slope")
    for number, mover in enumerate(movers or ()):
        label = "" if number else "moving"
        user = shortened(mover.user)
        _print_row(f"{label:{_LABEL}}{user}  {mover.sparkline}  {mover.level}, {mover.slope}")


def print_fetched(fetched: FetchedResults, options: str | None) -> None:
    """Print a batch's summary and the paths of its files.

    Args:
        fetched: The files.
        options: Options of the deployment that ran the batch; None if the batch cannot be
            retried.
    """
    print_summary(fetched.content)
    _print_row(f"results     {fetched.results or 'none'}")
    if fetched.rejected:
        describe = partial(_rejected, unit=fetched.unit)
        _print_lines("rejected", fetched.rejected, fetched.rejected_lines, describe)
    _print_lines("unreadable", fetched.unreadable, fetched.unreadable_lines, _unreadable)
    _print_row(f"summary     {fetched.summary}")
    if fetched.revisions:
        _print_row(f"revised     {fetched.revisions}: new decisions about earlier readings")
    if fetched.failed:
        remedy = "" if options is None else f"; {_remedy(fetched.content, options)}"
        _print_row(f"failed      {fetched.failed}{remedy}")
    if fetched.content.get("status") == "rehearsed":
        _print_line("This was a rehearsal: no state was written.")


def _print_lines(
    label: str, path: Path, count: int, describe: Callable[[Mapping[str, Any]], str]
) -> None:
    """Print a file's path and its first lines."""
    _print_row(f"{label:{_LABEL}}{path} ({counted(count, 'line')})")
    with path.open("rb") as file:
        for line in islice(file, _SHOWN):
            _print_row(f"{'':{_LABEL}}{describe(json.loads(line))}")
    if count > _SHOWN:
        _print_row(f"{'':{_LABEL}}and {count - _SHOWN:,} more")


def _unreadable(record: Mapping[str, Any]) -> str:
    return f"{_place(record)}: {record['detail']}"


def _rejected(reading: Mapping[str, Any], unit: str) -> str:
    expected = reading.get("predicted")
    why = why_rejected(
        reading["value"], unit, reading["reason"], math.nan if expected is None else expected
    )
    return f"{_place(reading)}: {shortened(reading['user_id'])}, {why}"


def _place(record: Mapping[str, Any]) -> str:
    if record["line"] is None:
        return f"{record['file'] or 'record'} (record {record['index'] + 1:,} of the batch)"
    return f"{record['file']} line {record['line']}"


def _remedy(summary: Mapping[str, Any], options: str) -> str:
    """The command that runs the failed readings again."""
    reasons = (summary.get("readings") or {}).get("failed") or {}
    changed = Reason.PROFILE_CHANGED.label
    # A retry uses the profile and options of its batch, so it cannot adopt a profile.
    adopt = (
        f"`kalmap run FILE --profile P --adopt-profile{options}` continues from the states of the "
        f"earlier profile"
    )
    if set(reasons) == {changed}:
        return adopt
    again = f"`kalmap retry {summary['batch_id'][:SHORT_ID]}{options}` runs them again"
    return f"{again}; {adopt}" if changed in reasons else again


def _nothing_new(summary: Mapping[str, Any]) -> str:
    """A sentence if no reading of the batch was new; else empty."""
    readings = summary.get("readings") or {}
    received, duplicate = readings.get("received") or 0, readings.get("duplicate") or 0
    late = (readings.get("rejected") or {}).get(Reason.TOO_LATE.label, 0)
    changed = (summary.get("users") or {}).get("changed")
    # Under another profile, known readings change states.
    if changed or not duplicate or duplicate + late < received:
        return ""
    too_late = f" or came too late ({late:,})" if late else ""
    return f"Every reading had been counted by earlier batches{too_late}: no state has changed."


def _print_row(text: str) -> None:
    _print_line(text, _LABEL)


def _print_line(text: str, indent: int = 0) -> None:
    print(fit_to_terminal(text, sys.stdout, indent))
