"""The arguments of each command, and the function that it calls."""

import argparse
from pathlib import Path
from typing import Any

from kalmap_cli.argument_parser import (
    FORMATS,
    Parser,
    Version,
    add_command,
    add_replace,
)
from kalmap_cli.batch_arguments import add_batches
from kalmap_cli.cost_arguments import add_cost
from kalmap_cli.deployment_arguments import (
    DATA_DIR_HELP,
    add_deployment,
    deployment_of,
    existing_deployment,
)
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.operations_arguments import add_operations
from kalmap_cli.profile_arguments import add_profiles, add_tune
from kalmap_cli.reporting_arguments import add_report, add_show, add_users

# A command's module is imported when the command is chosen, because imports are slow: --help and
# mistakes are answered at once, and Ctrl-C during an import is handled like any other.

_EPILOG = """\
examples:
  kalmap run weights.jsonl
  kalmap run january.csv february.csv.gz --out results --profile body-weight
  kalmap check withings.csv --user anna
  kalmap status --watch
  kalmap retry 3f9a
  kalmap results 3f9a --out again
  kalmap report 3f9a
  kalmap show u-17
  kalmap users --by drift
  kalmap states --user u-17
  kalmap compare 3f9a
  kalmap rollback 3f9a --rehearse
  kalmap forget u-17 --rehearse
  kalmap prune --before 2025-01-01 --rehearse
  kalmap serve
  kalmap simulate --users 1000 --days 60 --seed 1 --out readings.jsonl
  kalmap tune readings.jsonl --out my-weight.json
  kalmap profiles

exit codes: 0 done, 1 the batch failed, 2 wrong usage, 130 interrupted
"""


_MAX_PORT = 65535


def parser() -> argparse.ArgumentParser:
    """The parser of all commands. The attribute `command` of its result is the function to call."""
    top = Parser(
        prog="kalmap",
        description="Is each reading believable, and what is the true level now? One Kalman\n"
        "filter per user, over batches of any size, on AWS or on this machine.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action=Version, nargs=0, help="show kalmap's version and exit")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_batches(commands)
    add_cost(commands)
    add_report(commands)
    add_show(commands)
    add_users(commands)
    _add_states(commands)
    add_operations(commands)
    _add_serve(commands)
    _add_simulate(commands)
    add_tune(commands)
    add_profiles(commands)
    _add_completion(commands)
    return top


def _add_states(commands: Any) -> None:
    parser = add_command(
        commands,
        "states",
        "show the stored states, write them, or bring an exact export back",
        "  kalmap states\n"
        "  kalmap states --user u-17\n"
        "  kalmap states --out states.csv\n"
        "  kalmap states --exact --out backup.jsonl\n"
        "  kalmap states --load backup.jsonl",
    )
    parser.add_argument("--user", metavar="U", help="only the states of this user")
    parser.add_argument(
        "--table", metavar="NAME", help="read this table, such as one that a backup was restored to"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write here: as CSV or Parquet if the name ends in .csv or .parquet, else as JSON "
        "lines (default: a table on stdout)",
    )
    parser.add_argument(
        "--format",
        choices=("table", *FORMATS),
        metavar="FORMAT",
        help=f"table, {', '.join(FORMATS)}",
    )
    parser.add_argument("--json", action="store_true", help="short for --format jsonl")
    parser.add_argument(
        "--exact",
        action="store_true",
        help="write the exact states as JSON lines, for --load and for other programs",
    )
    parser.add_argument(
        "--load",
        type=Path,
        metavar="FILE",
        help="bring states back that --exact has written, gzipped or not, - for stdin; a stored "
        "state that differs is replaced only if its newest reading is older",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace the file that --out names, if it exists; with --load: all stored states that "
        "differ",
    )
    add_deployment(parser)
    parser.set_defaults(command=_states)


def _states(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands import states  # noqa: PLC0415

    if arguments.load is not None:
        # A data directory that does not exist yet can be filled from an export.
        return states.load(arguments, *deployment_of(arguments))
    if arguments.replace and arguments.out is None:
        raise WrongUsage("--replace is for --load and --out.")
    return states.states(arguments, *existing_deployment(arguments))


def _add_serve(commands: Any) -> None:
    parser = add_command(
        commands,
        "serve",
        "run the local cloud with its HTTP API and a web console until Ctrl-C",
        "  kalmap serve\n  kalmap serve --data-dir .api --port 8000 --api-port 8001",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="P",
        help="the console's port on 127.0.0.1 (default: 8720, or a free port if that is taken)",
    )
    parser.add_argument(
        "--api-port",
        type=int,
        default=0,
        metavar="P",
        help="the HTTP API's port on 127.0.0.1 (default: a free port)",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="D",
        help=DATA_DIR_HELP,
    )
    parser.set_defaults(command=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.serve import serve  # noqa: PLC0415
    from kalmap_cli.local import data_dir  # noqa: PLC0415

    for option, port in (("--port", arguments.port), ("--api-port", arguments.api_port)):
        if port is not None and not 0 <= port <= _MAX_PORT:
            raise WrongUsage(f"{option} is {port}; it must be from 1 to {_MAX_PORT}.")
    directory = arguments.data_dir or data_dir.default_path()
    return serve(directory, arguments.port, arguments.api_port)


def _add_simulate(commands: Any) -> None:
    parser = add_command(
        commands,
        "simulate",
        "simulate realistic body-weight readings whose true levels are known",
        "  kalmap simulate --users 50 --days 90 --seed 1 --out readings.jsonl\n"
        "  kalmap simulate --users 1000 --days 30 --seed 7 --out r.csv --truth t.jsonl",
    )
    for name, what in (
        ("users", "number of users"),
        ("days", "length of the simulated period, which ends on 2026-01-01"),
        ("seed", "number from 0; the same seed gives the same readings"),
    ):
        parser.add_argument(
            f"--{name}", type=int, required=True, metavar=name[0].upper(), help=what
        )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="write the readings here, as CSV if the name ends in .csv, else as JSONL; - is stdout",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="write the true level and the fault of each reading here, as JSONL",
    )
    add_replace(parser)
    parser.set_defaults(command=_simulate)


def _simulate(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.simulate import simulate_to_files  # noqa: PLC0415

    simulate_to_files(
        arguments.users,
        arguments.days,
        arguments.seed,
        arguments.out,
        arguments.truth,
        replace=arguments.replace,
    )
    return DONE


def _add_completion(commands: Any) -> None:
    parser = add_command(
        commands,
        "completion",
        "print a script that completes commands and options in your shell",
        '  eval "$(kalmap completion bash)"         in ~/.bashrc\n'
        '  eval "$(kalmap completion zsh)"          in ~/.zshrc, after compinit\n'
        "  source (kalmap completion fish | psub)   in ~/.config/fish/config.fish",
    )
    parser.add_argument(
        "shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish"
    )
    parser.set_defaults(command=_completion)


def _completion(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.completion import completion  # noqa: PLC0415

    completion(parser(), arguments.shell)
    return DONE
