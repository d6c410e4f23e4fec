"""`kalmap run`: check files, run them as a batch, and write the results into a directory."""

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kalmap.plural import counted
from kalmap_cli.batch_options import batch_options
from kalmap_cli.batch_run import NOT_STARTED, run_batch
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import InterruptMessage, WrongUsage
from kalmap_cli.file_batch import understand_batch, upload_batch
from kalmap_cli.inputs import open_inputs, source_in_s3
from kalmap_cli.output_files import check_outside_data_directory
from kalmap_cli.own_files.said import read_said
from kalmap_cli.report import print_report
from kalmap_cli.results_files import check_format
from kalmap_cli.results_folder import check_results_folder
from kalmap_cli.s3_samples import with_mapping
from kalmap_cli.screen import Screen
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
    out, options = arguments.out, batch_options(arguments)
    check_format(arguments.format)
    said = read_said("run", arguments)
    source = source_in_s3(arguments.files)
    if source is not None:
        [address] = arguments.files
        _check_stack(address, stack)
        check_results_folder(out)

        def look(screen: Screen, deployment: Deployment) -> dict[str, Any]:
            if not said.anything:
                return source
            screen.note(f"Looking at {address}")
            mapped, told = with_mapping(deployment, source, address, said, options["profile"])
            for sentence in told:
                screen.note(sentence)
            return mapped

        return _run(arguments, (data_dir, stack), look, options)
    with open_inputs(arguments.files) as inputs:
        batch = understand_batch(inputs.files, said, options["profile"])
        check_outside_data_directory(out, data_dir)
        check_results_folder(out)
        if not arguments.quiet:
            for sentence in (*inputs.told, *batch.told):
                print(fit_to_terminal(sentence, sys.stderr), file=sys.stderr)

        def upload(screen: Screen, deployment: Deployment) -> dict[str, Any]:
            screen.note(f"Uploading {counted(len(batch.uploads), 'file')}")
            return upload_batch(deployment, batch)

        return _run(arguments, (data_dir, stack), upload, options)


def _run(
    arguments: argparse.Namespace,
    where: tuple[Path | None, str | None],
    source_of: Callable[[Screen, Deployment], dict[str, Any]],
    options: Mapping[str, Any],
) -> int:
    with (
        InterruptMessage(NOT_STARTED) as message,
        Screen(quiet=arguments.quiet) as screen,
        open_deployment(screen, *where, fresh=arguments.fresh, guests=True) as deployment,
    ):
        batch = {"source": source_of(screen, deployment), **options}
        batch_run = run_batch(
            screen, deployment, batch, arguments.out, message, format_=arguments.format
        )
    return print_report(batch_run, quiet=arguments.quiet, as_json=arguments.json)


def _check_stack(address: str, stack: str | None) -> None:
    if stack is None:
        raise WrongUsage(
            f"{address} lies in S3, which the local cloud does not read. Name a stack on AWS that "
            f"may read it: kalmap run {shlex.quote(address)} --stack NAME"
        )
