"""`kalmap report`: write what a batch says as one HTML file."""

import argparse
import sys
from pathlib import Path

from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.listed_batches import find_batch
from kalmap_cli.output_files import (
    check_outputs,
    check_outside_data_directory,
    is_stream,
    open_output,
)
from kalmap_cli.reporting import needs_extra
from kalmap_cli.screen import SHORT_ID

_MOST_USERS = 10_000


def report(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Write the report of a batch.

    Returns:
        The exit code.

    Raises:
        WrongUsage: There is no such batch, or an option or the file is wrong.
        RunFailed: The extra is not installed, or the file could not be completed.
    """
    if not 0 <= arguments.users <= _MOST_USERS:
        raise WrongUsage(f"--users is {arguments.users}; it must be from 0 to {_MOST_USERS:,}.")
    check_outside_data_directory(arguments.out, data_dir)
    if arguments.out is not None:
        check_outputs({"--out": arguments.out}, replace=arguments.replace)
    with needs_extra():
        from kalmap_cli.reporting.batch_view import view_batch  # noqa: PLC0415
        from kalmap_cli.reporting.page import report_page  # noqa: PLC0415
    with open_deployment(None, data_dir, stack) as deployment:
        record = find_batch(deployment, arguments.batch)
        view = view_batch(deployment, record)
    page = report_page(view, users=arguments.users, anonymise=arguments.anonymise)
    out = arguments.out or Path(f"report-{record.batch_id[:SHORT_ID]}.html")
    with open_output(out) as file:
        file.write(page.encode())
    if not is_stream(out):
        print(out, file=sys.stdout)
    return DONE
