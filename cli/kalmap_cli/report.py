"""Say what came out of a batch, and where its files are."""

import json
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from kalmap.outcome import Reason
from kalmap.wording import counted
from kalmap_cli.batch_options import as_typed
from kalmap_cli.exits import DONE, RunFailed
from kalmap_cli.follow import Followed
from kalmap_cli.results_folder import Fetched
from kalmap_cli.screen import ID_SHOWN, print_summary
from kalmap_cli.terminal import fitted

#: As many of the records that could not be read are shown on the screen.
_SHOWN = 3
#: Columns of the words before each file.
_LABEL = 12


def report(followed: Followed) -> int:
    """Print the summary and where everything is.

    Returns:
        The exit code.

    Raises:
        RunFailed: The batch failed, or it has ended and stdout cannot be written.
    """
    ended, _, place = followed
    try:
        _print_end(followed)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunFailed(
            f"The batch has ended, but stdout could not be written: {error.strerror}. "
            f"`kalmap status{place.options}` shows how."
        ) from error
    if not ended.succeeded:
        raise RunFailed(f"The batch failed: {as_typed(ended.reason)} {followed.kept}".rstrip())
    return DONE


def _print_end(followed: Followed) -> None:
    ended, fetched, place = followed
    if fetched is not None:
        # What a batch has left is gone where that from before --fresh came back.
        can_retry = place.set_aside is None or ended.succeeded
        print_fetched(fetched, place.options if can_retry else None)
    if ended.succeeded and ended.ran_before:
        _say("This very batch had run before, and was not run again: these are its results.")
    elif fetched is not None and (known := _all_known(fetched.content)):
        _say(known)
    if followed.kept and ended.succeeded:
        _say(followed.kept)


def print_fetched(fetched: Fetched, options: str | None) -> None:
    """Print a batch's summary and where its files are.

    Args:
        fetched: what was written.
        options: of the place where it ran; None where its failed readings cannot be run again.
    """
    print_summary(fetched.content)
    lines = fetched.unreadable_lines
    _row(f"results     {fetched.results or 'none'}")
    _row(f"unreadable  {fetched.unreadable} ({counted(lines, 'line')})")
    for record in _first_lines(fetched.unreadable):
        _row(f"            {record['file']} line {record['line']}: {record['detail']}")
    if lines > _SHOWN:
        _row(f"            and {lines - _SHOWN:,} more")
    _row(f"summary     {fetched.summary}")
    if fetched.revisions:
        _row(f"revised     {fetched.revisions}: earlier readings judged anew")
    if fetched.failed:
        remedy = "" if options is None else f"; {_remedy(fetched.content, options)}"
        _row(f"failed      {fetched.failed}{remedy}")
    if fetched.content.get("status") == "rehearsed":
        _say("This was a rehearsal: no state was written.")


def _first_lines(unreadable: Path) -> list[dict[str, Any]]:
    with unreadable.open("rb") as file:
        return [json.loads(line) for line in islice(file, _SHOWN)]


def _remedy(summary: Mapping[str, Any], options: str) -> str:
    """What to type for the readings that failed."""
    reasons = (summary.get("readings") or {}).get("failed") or {}
    changed = Reason.PROFILE_CHANGED.label
    # A retry takes the profile and options of its batch: it would find the same states.
    adopt = (
        f"`kalmap run FILE --profile P --adopt-profile{options}` goes on from the states of the "
        f"profile before"
    )
    if set(reasons) == {changed}:
        return adopt
    again = f"`kalmap retry {summary['batch_id'][:ID_SHOWN]}{options}` runs them again"
    return f"{again}; {adopt}" if changed in reasons else again


def _all_known(summary: Mapping[str, Any]) -> str:
    """A sentence where nothing in a batch was new; else empty."""
    readings = summary.get("readings") or {}
    received, duplicate = readings.get("received") or 0, readings.get("duplicate") or 0
    late = (readings.get("rejected") or {}).get(Reason.TOO_LATE.label, 0)
    changed = (summary.get("users") or {}).get("changed")
    # With another profile, readings that were known give another state.
    if changed or not duplicate or duplicate + late < received:
        return ""
    also = f", or came too late ({late:,})" if late else ""
    return f"Every reading had been counted by earlier batches{also}: no state has changed."


def _row(text: str) -> None:
    _say(text, _LABEL)


def _say(text: str, indent: int = 0) -> None:
    print(fitted(text, sys.stdout, indent))
