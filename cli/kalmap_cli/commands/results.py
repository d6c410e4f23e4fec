"""`kalmap results`: fetch the results of a batch that has ended again."""

import argparse
import sys
from pathlib import Path

from kalmap.errors import InvalidInput
from kalmap.outcome import Status
from kalmap.plural import counted
from kalmap.results.selection import Selection, result_status
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, RunFailed, WrongUsage
from kalmap_cli.listed_batches import find_batch
from kalmap_cli.output_files import STDOUT, check_outside_data_directory
from kalmap_cli.report import print_fetched
from kalmap_cli.results_files import check_format
from kalmap_cli.results_folder import check_results_folder, fetch_results, folder_of
from kalmap_cli.screen import SHORT_ID
from kalmap_cli.selected_results import write_selected
from kalmap_cli.terminal import fit_to_terminal


def results(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Write a batch's results into a directory, as `kalmap run` does, or some of them to stdout.

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
    out, selection = arguments.out, _selection(arguments)
    if selection != Selection() and out is None:
        out = STDOUT
    check_outside_data_directory(out, data_dir)
    check_format(arguments.format, out)
    with open_deployment(None, data_dir, stack) as deployment:
        record = find_batch(deployment, arguments.batch)
        short_id = record.batch_id[:SHORT_ID]
        if record.status == "RUNNING":
            raise WrongUsage(
                f"Batch {short_id} is still running. It has results once it has ended."
            )
        objects = deployment.objects
        if out == STDOUT or selection != Selection():
            selected = write_selected(objects, record.prefix, out, selection, arguments.format)
            fetched = None
        else:
            check_results_folder(out, record.batch_id)
            fetched = fetch_results(objects, record.prefix, out, arguments.format)
            selected = None
            if fetched is None:
                selected = write_selected(
                    objects, record.prefix, folder_of(out, record.batch_id), selection,
                    arguments.format, replace=out is None,
                )  # fmt: skip
                out = folder_of(out, record.batch_id)
        if selected is not None:
            _tell(selected, short_id, out)
            if record.received is None:
                _print(
                    f"Batch {short_id} was stopped before its end. These are its decisions. Those "
                    f"about users whose states it had not stored are made when its input is read "
                    f"again: `kalmap retry {short_id}{deployment.options}` does."
                )
            return DONE
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


def _selection(arguments: argparse.Namespace) -> Selection:
    if arguments.user is not None and arguments.status == Status.UNREADABLE.label:
        raise WrongUsage(
            "Unreadable records belong to no user. Leave --user out, or look for the user in "
            "unreadable.jsonl, which quotes each record."
        )
    try:
        return Selection(arguments.user, result_status(arguments.status))
    except InvalidInput as error:
        raise WrongUsage(f"--status is {arguments.status!r}; {error}") from error


def _tell(count: int, batch: str, out: Path) -> None:
    where = "" if out == STDOUT else f" in {out}"
    _print(f"{counted(count, 'result')} of batch {batch}{where}.")


def _print(sentence: str) -> None:
    print(fit_to_terminal(sentence, sys.stderr), file=sys.stderr)
