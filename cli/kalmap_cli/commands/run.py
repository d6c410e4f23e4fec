"""`kalmap run`: check files, run them as a batch, and write the results into a directory."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from kalmap.plural import counted
from kalmap_cli.batch_options import batch_options
from kalmap_cli.batch_run import NOT_STARTED, run_batch
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import InterruptMessage
from kalmap_cli.input_files import understand_file
from kalmap_cli.output_files import check_outside_data_directory
from kalmap_cli.own_files.said import read_said
from kalmap_cli.own_files.several import common_mapping
from kalmap_cli.own_files.understand import describe
from kalmap_cli.report import print_report
from kalmap_cli.results_folder import check_results_folder
from kalmap_cli.screen import Screen
from kalmap_cli.stack import upload_files
from kalmap_cli.terminal import fit_to_terminal


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
    options = batch_options(arguments)
    said = read_said("run", arguments)
    understood = [understand_file(file, said, options["profile"]) for file in files]
    mapping = common_mapping(understood)
    check_outside_data_directory(out, data_dir)
    check_results_folder(out)
    for sentence in (sentence for file in understood for sentence in describe(file)):
        print(fit_to_terminal(sentence, sys.stderr), file=sys.stderr)
    with (
        InterruptMessage(NOT_STARTED) as message,
        Screen() as screen,
        open_deployment(screen, data_dir, stack, fresh=arguments.fresh, guests=True) as deployment,
    ):
        screen.note(f"Uploading {counted(len(files), 'file')}")
        prefix = upload_files(deployment.clients, deployment.stack, files)
        source: dict[str, Any] = {"bucket": deployment.stack.bucket, "prefix": prefix}
        if mapping is not None:
            source["mapping"] = msgspec.to_builtins(mapping)
        batch = {"source": source} | options
        batch_run = run_batch(screen, deployment, batch, out, message, format_=arguments.format)
    return print_report(batch_run)
