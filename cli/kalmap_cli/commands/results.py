"""`kalmap results`: fetch the results of a batch that has ended again."""

import argparse
import sys
from pathlib import Path

from kalmap.store.objects import Objects
from kalmap_cli.commands.status import find_batch
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, RunFailed, WrongUsage
from kalmap_cli.output_files import check_outside_data_directory
from kalmap_cli.report import print_fetched
from kalmap_cli.results_folder import check_results_folder, fetch_results
from kalmap_cli.screen import SHORT_ID


def results(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Write a batch's results into a directory, as `kalmap run` does.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Returns:
        The exit code.

    Raises:
        WrongUsage: There is no such batch, it is running, or the directory cannot be used.
        RunFailed: The batch has no results, or they could not be written.
    """
    out = arguments.out
    check_outside_data_directory(out, data_dir)
    with open_deployment(None, data_dir, stack) as deployment:
        record = find_batch(deployment, arguments.batch)
        short_id = record.batch_id[:SHORT_ID]
        if record.status == "RUNNING":
            raise WrongUsage(
                f"Batch {short_id} is still running. It has results once it has ended."
            )
        check_results_folder(out, record.batch_id)
        objects = Objects(deployment.clients("s3"), deployment.stack.bucket)
        fetched = fetch_results(objects, record.prefix, out, arguments.format)
        if fetched is None:
            if record.status == "SUCCEEDED":
                raise RunFailed(f"The results of batch {short_id} no longer exist.")
            raise RunFailed(
                f"Batch {short_id} has no results: it was stopped before its end. "
                f"`kalmap retry {short_id}{deployment.options}` runs it again."
            )
    print_fetched(fetched, deployment.options)
    sys.stdout.flush()
    return DONE
