"""The arguments of the commands that draw: reports of batches, and users."""

import argparse
from pathlib import Path
from typing import Any

from kalmap_cli.argument_parser import add_command
from kalmap_cli.deployment_arguments import add_deployment, existing_deployment


def add_report(commands: Any) -> None:
    """Add `kalmap report`."""
    parser = add_command(
        commands,
        "report",
        "write a report of a batch as one HTML file, which opens without a network",
        "  kalmap report 3f9a\n"
        "  kalmap report 3f9a --out monday.html --users 20 --anonymise\n"
        "  kalmap report 3f9a --stack kalmap",
    )
    parser.add_argument("batch", metavar="BATCH", help="a batch's id, or the beginning of one")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write here; - is stdout (default: report-BATCH.html)",
    )
    parser.add_argument(
        "--users",
        type=int,
        default=100,
        metavar="N",
        help="most users whose readings and estimates the report holds (default: 100)",
    )
    parser.add_argument(
        "--anonymise",
        action="store_true",
        help="replace users' ids by numbers, and leave out sentences that may have names in them",
    )
    add_deployment(parser)
    parser.set_defaults(command=_report)


def _report(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.report import report  # noqa: PLC0415

    path, stack = existing_deployment(arguments)
    return report(arguments, path, stack)
