"""Follow a batch from its start to its files, and say what came out."""

import json
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from kalmap.outcome import Reason
from kalmap.store.objects import Objects
from kalmap_cli import drive
from kalmap_cli.batch_options import as_typed
from kalmap_cli.exits import DONE, RunFailed
from kalmap_cli.given_names import GivenNames
from kalmap_cli.screen import ID_SHOWN, Screen, print_summary
from kalmap_cli.target import Target

#: As many of the records that could not be read are shown on the screen.
_SHOWN = 3


def follow(
    screen: Screen, place: Target, batch: Mapping[str, Any], out: Path
) -> tuple[drive.Fetched | None, drive.Ended]:
    """Start a batch, show its progress to its end, and fetch what came out.

    Args:
        screen: shows the progress.
        place: where to run it.
        batch: the execution's input.
        out: the output directory.
    """
    execution = drive.start(place.clients, place.stack, batch)
    try:
        for progress in drive.watch(place.clients, execution, place.interval):
            screen.show(progress)
    except KeyboardInterrupt:
        screen.note("Stopping the batch")
        drive.stop(place.clients, execution)
        raise
    ended = drive.ended(place.clients, execution)
    names = GivenNames(Objects(place.clients("s3"), place.stack.bucket))
    ended = ended._replace(reason=names.in_text(ended.reason))
    if ended.prefix is None:
        return None, ended
    screen.note("Fetching the results")
    return drive.fetch(place.clients, place.stack, ended.prefix, out), ended


def report(fetched: drive.Fetched | None, ended: drive.Ended) -> int:
    """Print the summary and where everything is.

    Returns:
        The exit code.

    Raises:
        RunFailed: The batch failed.
    """
    if fetched is not None:
        _print_fetched(fetched)
    if not ended.succeeded:
        raise RunFailed(f"The batch failed: {as_typed(ended.reason)}")
    return DONE


def _print_fetched(fetched: drive.Fetched) -> None:
    if fetched.content:
        print_summary(fetched.content)
    lines = fetched.unreadable_lines
    print(f"results     {fetched.results or 'none'}")
    print(f"unreadable  {fetched.unreadable} ({lines:,} line{'' if lines == 1 else 's'})")
    for record in _first_lines(fetched.unreadable):
        print(f"            {record['file']} line {record['line']}: {record['detail']}")
    if lines > _SHOWN:
        print(f"            and {lines - _SHOWN:,} more")
    print(f"summary     {fetched.summary or 'none'}")
    if fetched.revisions:
        print(f"revised     {fetched.revisions}: earlier readings judged anew")
    if fetched.failed:
        print(f"failed      {fetched.failed}; {_remedy(fetched.content)}")
    if fetched.content.get("status") == "rehearsed":
        print("This was a rehearsal: no state was written.")
    sys.stdout.flush()


def _first_lines(unreadable: Path | None) -> list[dict[str, Any]]:
    if unreadable is None:
        return []
    with unreadable.open("rb") as file:
        return [json.loads(line) for line in islice(file, _SHOWN)]


def _remedy(summary: Mapping[str, Any]) -> str:
    """What to type for the readings that failed."""
    reasons = (summary.get("readings") or {}).get("failed") or {}
    changed = Reason.PROFILE_CHANGED.label
    # A retry takes the profile and options of its batch: it would find the same states.
    adopt = "`kalmap run FILE --adopt-profile` goes on from the states of the profile before"
    if set(reasons) == {changed}:
        return adopt
    again = f"`kalmap retry {summary.get('batch_id', 'BATCH')[:ID_SHOWN]}` runs them again"
    return f"{again}; {adopt}" if changed in reasons else again
