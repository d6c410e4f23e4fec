"""The arguments of the commands that run batches of files, and say what became of them."""

import argparse
from typing import Any

from kalmap_cli.argument_parser import (
    add_command,
    add_format,
    add_now,
    add_out,
    add_own_files,
    add_quiet_and_json,
)
from kalmap_cli.deployment_arguments import add_deployment, deployment_of, existing_deployment
from kalmap_cli.errors import WrongUsage


def add_batches(commands: Any) -> None:
    """Add the commands `run`, `check`, `status`, `retry` and `results`."""
    _add_run(commands)
    _add_check(commands)
    _add_status(commands)
    _add_retry(commands)
    _add_results(commands)


def _add_run(commands: Any) -> None:
    parser = add_command(
        commands,
        "run",
        "run a batch of measurements",
        "  kalmap run weights.jsonl\n"
        "  kalmap run january.csv february.csv.gz --out results\n"
        "  kalmap run withings.csv --user anna --tz Europe/Berlin\n"
        "  kalmap run weights.jsonl --profile my-weight.json --adopt-profile\n"
        "  kalmap run weights.jsonl --write-mode none --limits unusable=0.5\n"
        "  kalmap run glucose.jsonl --profile glucose.json --data-dir .glucose --fresh\n"
        "  kalmap run weights.jsonl --stack kalmap",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="JSONL, CSV, or a table of another program, gzipped or not; a directory, a pattern "
        "such as 'exports/*.csv', or - for stdin; with --stack also s3://BUCKET/KEY, or a prefix "
        "that ends with a slash",
    )
    add_own_files(parser)
    add_out(parser)
    add_format(parser)
    parser.add_argument(
        "--profile",
        metavar="P",
        help="a built-in profile's name or a file (default: DEFAULT_PROFILE)",
    )
    parser.add_argument(
        "--adopt-profile",
        action="store_true",
        help="continue from states that another version of this profile has stored",
    )
    parser.add_argument(
        "--write-mode",
        metavar="MODE",
        help="how to write states: conditional (the default), transactional, overwrite, or none "
        "(a rehearsal)",
    )
    parser.add_argument(
        "--share",
        metavar="FROM-TO",
        help="only users whose place by a hash of their id lies in this part of 100, such as 0-10; "
        "others are left to a batch with --share 10-100 (0-10:SALT chooses other users)",
    )
    parser.add_argument(
        "--limits",
        metavar="LIMITS",
        help="write no state when a larger share of shards has failed or of readings is unusable "
        "(example: failed_shards=0.1,unusable=0.5)",
    )
    add_now(parser)
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="start without earlier states; delete all earlier states and batches when this "
        "batch has succeeded",
    )
    add_quiet_and_json(parser)
    add_deployment(parser)
    parser.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.run import run  # noqa: PLC0415

    path, stack = deployment_of(arguments)
    if stack is not None and arguments.fresh:
        raise WrongUsage("--fresh is for the local cloud and cannot be used with --stack.")
    return run(arguments, path, stack)


def _add_check(commands: Any) -> None:
    parser = add_command(
        commands,
        "check",
        "say how files would be understood and what a profile would reject; nothing is started",
        "  kalmap check weights.csv\n"
        "  kalmap check withings.csv --user anna --tz Europe/Berlin\n"
        "  kalmap check glucose.csv --profile glucose.json --columns value=Glucose,timestamp=Time",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="as for run, but not in S3")
    add_own_files(parser)
    parser.add_argument(
        "--profile",
        metavar="P",
        help="a built-in profile's name or a file (default: DEFAULT_PROFILE)",
    )
    add_now(parser)
    parser.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.check import check  # noqa: PLC0415

    return check(arguments)


def _add_status(commands: Any) -> None:
    parser = add_command(
        commands,
        "status",
        "list the batches, or show one",
        "  kalmap status\n  kalmap status 3f9a --watch\n  kalmap status 3f9a --why-slow\n"
        "  kalmap status --stack kalmap",
    )
    parser.add_argument(
        "batch", nargs="?", metavar="BATCH", help="a batch's id, or the beginning of one"
    )
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show a running batch to its end; without BATCH, the newest one",
    )
    parser.add_argument(
        "--why-slow",
        action="store_true",
        help="show what each step took, what held the batch up, and what to change; without "
        "BATCH, of the newest one",
    )
    add_deployment(parser)
    parser.set_defaults(command=_status)


def _status(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.status import status  # noqa: PLC0415

    path, stack = existing_deployment(arguments)
    return status(path, stack, arguments.batch, watch=arguments.watch, why_slow=arguments.why_slow)


def _add_retry(commands: Any) -> None:
    parser = add_command(
        commands,
        "retry",
        "run the failed part of a batch again",
        "  kalmap retry 3f9a\n  kalmap retry 3f9a --out again --stack kalmap",
    )
    parser.add_argument("batch", metavar="BATCH", help="a batch's id, or the beginning of one")
    add_out(parser)
    add_format(parser)
    add_now(parser)
    add_quiet_and_json(parser)
    add_deployment(parser)
    parser.set_defaults(command=_retry)


def _retry(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.retry import retry  # noqa: PLC0415

    path, stack = existing_deployment(arguments)
    return retry(arguments, path, stack)


def _add_results(commands: Any) -> None:
    parser = add_command(
        commands,
        "results",
        "fetch the results of a batch again",
        "  kalmap results 3f9a\n"
        "  kalmap results 3f9a --out again --stack kalmap\n"
        "  kalmap results 3f9a --user u-17\n"
        "  kalmap results 3f9a --status rejected --format csv",
    )
    parser.add_argument("batch", metavar="BATCH", help="a batch's id, or the beginning of one")
    add_out(parser)
    add_format(parser)
    add_deployment(parser)
    parser.add_argument(
        "--user",
        metavar="U",
        help="only this user's results; without --out they go to stdout",
    )
    parser.add_argument(
        "--status",
        metavar="S",
        help="only results of this status: accepted, rejected, duplicate, unreadable or failed",
    )
    parser.set_defaults(command=_results)


def _results(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.results import results  # noqa: PLC0415

    path, stack = existing_deployment(arguments)
    return results(arguments, path, stack)
