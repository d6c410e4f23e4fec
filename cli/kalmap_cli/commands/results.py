"""`kalmap results`: an ended batch's results, fetched once more."""

import sys
from pathlib import Path

from kalmap.store.objects import Objects
from kalmap_cli.commands.status import find_batch
from kalmap_cli.exits import DONE, RunFailed, WrongUsage
from kalmap_cli.outputs import check_outside
from kalmap_cli.report import print_fetched
from kalmap_cli.results_folder import check_folder, fetch
from kalmap_cli.screen import ID_SHOWN
from kalmap_cli.target import target


def results(batch: str, out: Path | None, data_dir: Path | None, stack: str | None) -> int:
    """Write a batch's results into a directory, as `kalmap run` does.

    Returns:
        The exit code.

    Raises:
        WrongUsage: There is no such batch, it still runs, or the directory cannot be used.
        RunFailed: The batch has left no results, or they could not be written.
    """
    check_outside(out, data_dir)
    with target(None, data_dir, stack) as place:
        found = find_batch(place, batch)
        batch_id, status = found.batch_id, found.status
        short = batch_id[:ID_SHOWN]
        if status == "RUNNING":
            raise WrongUsage(f"Batch {short} is still running; it has results when it has ended.")
        check_folder(out, batch_id)
        objects = Objects(place.clients("s3"), place.stack.bucket)
        fetched = fetch(objects, found.prefix, out)
        if fetched is None:
            if status == "SUCCEEDED":
                raise RunFailed(f"The results of batch {short} are no longer kept.")
            raise RunFailed(
                f"Batch {short} has no results: it was stopped before its end. "
                f"`kalmap retry {short}{place.options}` runs it again."
            )
    print_fetched(fetched, place.options)
    sys.stdout.flush()
    return DONE
