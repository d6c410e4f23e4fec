"""The arguments of the commands that draw: reports of batches, and users."""

import argparse
from pathlib import Path
from typing import Any

from kalmap_cli.argument_parser import add_command, add_replace
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
    add_replace(parser)
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


def add_users(commands: Any) -> None:
    """Add `kalmap users`."""
    parser = add_command(
        commands,
        "users",
        "list the users who need a look",
        "  kalmap users\n  kalmap users --by rejections --most 50\n  kalmap users --by silent",
    )
    parser.add_argument(
        "--by",
        choices=("drift", "rejections", "quality", "silent"),
        default="drift",
        metavar="WHAT",
        help="drift: the slope beyond its uncertainty (the default); rejections: the share of "
        "rejected readings; quality: how probable it is that their readings are right; silent: "
        "how old the newest reading is",
    )
    parser.add_argument(
        "--most", type=int, default=20, metavar="N", help="list so many users (default: 20)"
    )
    parser.add_argument("--profile", metavar="NAME", help="only states under this profile")
    add_deployment(parser)
    parser.set_defaults(command=_users)


def _users(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.users import users  # noqa: PLC0415

    path, stack = existing_deployment(arguments)
    return users(arguments, path, stack)


def add_show(commands: Any) -> None:
    """Add `kalmap show`."""
    parser = add_command(
        commands,
        "show",
        "show a user's stored readings, level and slope, and what is expected next week",
        "  kalmap show u-17\n"
        "  kalmap show u-17 --out u-17.svg\n"
        "  kalmap show u-17 --profile my-weight --stack kalmap",
    )
    parser.add_argument("user", metavar="USER", help="a user's id")
    parser.add_argument(
        "--profile", metavar="NAME", help="the profile's name (default: every one with a state)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="draw into this file: .svg, .png or .html"
    )
    add_replace(parser)
    add_deployment(parser)
    parser.set_defaults(command=_show)


def _show(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.show import show  # noqa: PLC0415

    path, stack = existing_deployment(arguments)
    return show(arguments, path, stack)


def _report(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.report import report  # noqa: PLC0415

    path, stack = existing_deployment(arguments)
    return report(arguments, path, stack)
