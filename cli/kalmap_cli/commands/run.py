"""`kalmap run`: check files, run them as a batch, and write the results into a directory."""

import argparse
from pathlib import Path

from kalmap.plural import counted
from kalmap_cli.batch_options import batch_options
from kalmap_cli.batch_run import NOT_STARTED, run_batch
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import InterruptMessage
from kalmap_cli.input_files import check_input
from kalmap_cli.output_files import check_outside_data_directory
from kalmap_cli.report import print_report
from kalmap_cli.results_folder import check_results_folder
from kalmap_cli.screen import Screen
from kalmap_cli.stack import upload_files


def run(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Run a batch of files and write its results.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Returns:
        The exit code.

    Raises:
        WrongUsage: A file, an option or a directory is wrong. Nothing was started.
        RunFailed: The batch failed. Its summary is written if there is one.
    """
    files, out = arguments.files, arguments.out
    for file in files:
        check_input(file)
    options = batch_options(arguments)
    check_outside_data_directory(out, data_dir)
    check_results_folder(out)
    with (
        InterruptMessage(NOT_STARTED) as message,
        Screen() as screen,
        open_deployment(screen, data_dir, stack, fresh=arguments.fresh, guests=True) as deployment,
    ):
        screen.note(f"Uploading {counted(len(files), 'file')}")
        prefix = upload_files(deployment.clients, deployment.stack, files)
        source = {"bucket": deployment.stack.bucket, "prefix": prefix}
        batch_run = run_batch(screen, deployment, {"source": source} | options, out, message)
    return print_report(batch_run)
