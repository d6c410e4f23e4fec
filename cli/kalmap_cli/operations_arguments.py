"""The arguments of the commands for whoever runs kalmap: take back, forget, clear away."""

import argparse
from pathlib import Path
from typing import Any

from kalmap_cli.argument_parser import add_command, add_replace
from kalmap_cli.deployment_arguments import add_deployment, existing_deployment


def add_operations(commands: Any) -> None:
    """Add the commands."""
    _add_compare(commands)
    _add_rollback(commands)
    _add_forget(commands)
    _add_prune(commands)


def _add_rehearse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rehearse", action="store_true", help="only say what would be done, and change nothing"
    )


def _add_compare(commands: Any) -> None:
    parser = add_command(
        commands,
        "compare",
        "say which stored levels and decisions a rehearsed batch, or an export, would change",
        "  kalmap compare 3f9a\n"
        "  kalmap compare 3f9a --against body-weight --out changes.jsonl\n"
        "  kalmap compare staging.jsonl --stack kalmap",
    )
    parser.add_argument(
        "new",
        metavar="BATCH",
        help="the id of a batch with --write-mode none, or the beginning of one; or a file that "
        "`kalmap states --exact` has written",
    )
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="the profile of the stored states (default: that of the new ones)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write each user with a change here, as JSON lines"
    )
    add_replace(parser)
    add_deployment(parser)
    parser.set_defaults(command=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.compare import compare  # noqa: PLC0415

    return compare(arguments, *existing_deployment(arguments))


def _add_forget(commands: Any) -> None:
    parser = add_command(
        commands,
        "forget",
        "delete a user's states, results and staged input, and say what remains elsewhere",
        "  kalmap forget u-17 --rehearse\n  kalmap forget u-17\n"
        "  kalmap forget u-17 --stack kalmap",
    )
    parser.add_argument("user", metavar="USER", help="a user's id")
    _add_rehearse(parser)
    add_deployment(parser)
    parser.set_defaults(command=_forget)


def _forget(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.forget import forget  # noqa: PLC0415

    return forget(arguments, *existing_deployment(arguments))


def _add_prune(commands: Any) -> None:
    parser = add_command(
        commands,
        "prune",
        "delete the states of users without a reading since a date",
        "  kalmap prune --before 2025-01-01 --rehearse\n"
        "  kalmap prune --before 2025-01-01 --profile my-weight --stack kalmap",
    )
    parser.add_argument(
        "--before",
        required=True,
        metavar="DATE",
        help="delete states whose newest reading is older, in UTC (example: 2025-01-01)",
    )
    parser.add_argument("--profile", metavar="NAME", help="only states under this profile")
    _add_rehearse(parser)
    add_deployment(parser)
    parser.set_defaults(command=_prune)


def _prune(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.prune import prune  # noqa: PLC0415

    return prune(arguments, *existing_deployment(arguments))


def _add_rollback(commands: Any) -> None:
    parser = add_command(
        commands,
        "rollback",
        "put the states from before a batch back, where nothing has changed them since",
        "  kalmap rollback 3f9a --rehearse\n  kalmap rollback 3f9a\n"
        "  kalmap rollback 3f9a --stack kalmap",
    )
    parser.add_argument("batch", metavar="BATCH", help="a batch's id, or the beginning of one")
    _add_rehearse(parser)
    add_deployment(parser)
    parser.set_defaults(command=_rollback)


def _rollback(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.rollback import rollback  # noqa: PLC0415

    return rollback(arguments, *existing_deployment(arguments))
