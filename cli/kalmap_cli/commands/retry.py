"""`kalmap retry`: run again what failed of a batch, or all of it where it failed as a whole."""

import argparse
from pathlib import Path

from kalmap_cli.batch_options import moment_options
from kalmap_cli.commands.status import find_batch
from kalmap_cli.follow import follow, report
from kalmap_cli.inputs import check_output
from kalmap_cli.screen import Screen
from kalmap_cli.target import target


def retry(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Run a batch's failed readings again, with its profile and options.

    Args:
        arguments: of the command line.
        data_dir: of the local cloud; unused with a stack.
        stack: name of a deployed stack; None for the local cloud.

    Returns:
        The exit code.

    Raises:
        WrongUsage: There is no such batch, or an option is wrong.
        RunFailed: It has nothing to run again, or failed once more.
    """
    options, out = moment_options(arguments), arguments.out
    check_output(out)
    with Screen() as screen, target(screen, data_dir, stack) as place:
        found = find_batch(place, arguments.batch)
        batch = {"retry_of": str(found["batch_id"])} | options
        fetched, ended = follow(screen, place, batch, out)
        screen.note("Saving" if stack is None else "Done")
    return report(fetched, ended)
