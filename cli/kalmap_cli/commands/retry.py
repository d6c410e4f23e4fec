"""`kalmap retry`: run again what failed of a batch, or all of it where it failed as a whole."""

from pathlib import Path

from kalmap_cli.commands.status import find_batch
from kalmap_cli.follow import follow, report
from kalmap_cli.inputs import check_output
from kalmap_cli.screen import Screen
from kalmap_cli.target import target


def retry(batch: str, out: Path, data_dir: Path | None, stack: str | None) -> int:
    """Run a batch's failed readings again, with its profile and options.

    Returns:
        The exit code.

    Raises:
        WrongUsage: There is no such batch.
        RunFailed: It has nothing to run again, or failed once more.
    """
    check_output(out)
    with Screen() as screen, target(screen, data_dir, stack) as place:
        found = find_batch(place, batch)
        fetched, ended = follow(screen, place, {"retry_of": str(found["batch_id"])}, out)
        screen.note("Saving" if stack is None else "Done")
    return report(fetched, ended)
