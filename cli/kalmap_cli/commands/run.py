"""`kalmap run`: a batch of files, from checking them to the results in a directory."""

import argparse
from pathlib import Path

from kalmap.wording import counted
from kalmap_cli import drive
from kalmap_cli.batch_options import batch_options
from kalmap_cli.exits import HowFar
from kalmap_cli.follow import NOT_STARTED, follow
from kalmap_cli.inputs import check_input
from kalmap_cli.outputs import check_outside
from kalmap_cli.report import report
from kalmap_cli.results_folder import check_folder
from kalmap_cli.screen import Screen
from kalmap_cli.target import target


def run(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Run a batch of files and write its results.

    Args:
        arguments: of the command line.
        data_dir: of the local cloud; unused with a stack.
        stack: name of a deployed stack; None for the local cloud.

    Returns:
        The exit code.

    Raises:
        WrongUsage: A file, an option or a directory is not as it must be; nothing was started.
        RunFailed: The batch failed; its summary has been written where there is one.
    """
    files, out = arguments.files, arguments.out
    for file in files:
        check_input(file)
    options = batch_options(arguments)
    check_outside(out, data_dir)
    check_folder(out)
    with (
        HowFar(NOT_STARTED) as how_far,
        Screen() as screen,
        target(screen, data_dir, stack, fresh=arguments.fresh, guests=True) as place,
    ):
        screen.note(f"Uploading {counted(len(files), 'file')}")
        prefix = drive.upload(place.clients, place.stack, files)
        source = {"bucket": place.stack.bucket, "prefix": prefix}
        followed = follow(screen, place, {"source": source} | options, out, how_far)
    return report(followed)
