"""`kalmap retry`: run the failed readings of a batch again, or a failed batch as a whole."""

import argparse
import sys
from pathlib import Path

from kalmap.batch.folder import Folder
from kalmap_cli.batch_options import now_option
from kalmap_cli.batch_run import NOT_STARTED, run_batch
from kalmap_cli.deployment import Deployment, open_deployment
from kalmap_cli.errors import DONE, InterruptMessage
from kalmap_cli.listed_batches import find_batch
from kalmap_cli.output_files import check_outside_data_directory
from kalmap_cli.report import print_report
from kalmap_cli.results_files import check_format
from kalmap_cli.results_folder import check_results_folder
from kalmap_cli.screen import SHORT_ID, Screen


def retry(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Run a batch's failed readings again, with its profile and options.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Returns:
        The exit code.

    Raises:
        WrongUsage: There is no such batch, or an option is wrong.
        RunFailed: The batch failed again.
    """
    options, out = now_option(arguments), arguments.out
    check_format(arguments.format)
    check_outside_data_directory(out, data_dir)
    check_results_folder(out)
    with (
        InterruptMessage(NOT_STARTED) as message,
        Screen(quiet=arguments.quiet) as screen,
        open_deployment(screen, data_dir, stack, guests=True) as deployment,
    ):
        record = find_batch(deployment, arguments.batch)
        if record.status == "SUCCEEDED" and not _has_failed_readings(deployment, record.prefix):
            short_id = record.batch_id[:SHORT_ID]
            nothing = f"Nothing to run again: batch {short_id} has no failed reading."
            print(nothing, file=sys.stderr if arguments.json else sys.stdout)
            return DONE
        batch = {"retry_of": record.batch_id} | options
        run = run_batch(screen, deployment, batch, out, message, format_=arguments.format)
    return print_report(run, quiet=arguments.quiet, as_json=arguments.json)


def _has_failed_readings(deployment: Deployment, prefix: str) -> bool:
    objects = deployment.objects
    return any(True for _ in Folder(objects, prefix).failed_objects())
