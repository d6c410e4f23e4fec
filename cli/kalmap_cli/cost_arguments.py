"""The arguments of `kalmap cost`."""

import argparse
from typing import Any

from kalmap_cli.argument_parser import add_command, add_own_files


def add_cost(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "cost",
        "say what a batch will cost on AWS, by service; nothing is started",
        "  kalmap cost weights.csv\n"
        "  kalmap cost --users 100000 --readings 1000000\n"
        "  kalmap cost --users 100000 --readings 100000 --per-day",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="as for run, but not in S3")
    add_own_files(parser)
    for name, what in (("users", "users of a batch"), ("readings", "readings of a batch")):
        parser.add_argument(
            f"--{name}", type=int, metavar=name[0].upper(), help=f"{what}, instead of files"
        )
    parser.add_argument(
        "--per-day", action="store_true", help="one such batch a day: what a month costs"
    )
    parser.add_argument(
        "--profile",
        metavar="P",
        help="a built-in profile's name or a file (default: DEFAULT_PROFILE)",
    )
    parser.set_defaults(command=_cost)


def _cost(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.cost import cost  # noqa: PLC0415

    return cost(arguments)
