"""`kalmap retry`: run again what failed of a batch, or all of it where it failed as a whole."""

import argparse
from pathlib import Path

from kalmap.store.objects import Objects
from kalmap_cli.batch_options import moment_options
from kalmap_cli.commands.status import find_batch
from kalmap_cli.exits import DONE, HowFar
from kalmap_cli.follow import NOT_STARTED, follow
from kalmap_cli.outputs import check_outside
from kalmap_cli.report import report
from kalmap_cli.results_folder import check_folder
from kalmap_cli.screen import ID_SHOWN, Screen
from kalmap_cli.target import Target, target


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
        RunFailed: It failed once more.
    """
    options, out = moment_options(arguments), arguments.out
    check_outside(out, data_dir)
    check_folder(out)
    with (
        HowFar(NOT_STARTED) as how_far,
        Screen() as screen,
        target(screen, data_dir, stack, guests=True) as place,
    ):
        found = find_batch(place, arguments.batch)
        batch_id = found.batch_id
        if found.status == "SUCCEEDED" and not _has_failed(place, found.prefix):
            print(f"Nothing to run again: batch {batch_id[:ID_SHOWN]} has no failed reading.")
            return DONE
        batch = {"retry_of": batch_id} | options
        followed = follow(screen, place, batch, out, how_far)
    return report(followed)


def _has_failed(place: Target, prefix: str) -> bool:
    objects = Objects(place.clients("s3"), place.stack.bucket)
    return any(True for _ in objects.keys(f"{prefix}/failed/"))
