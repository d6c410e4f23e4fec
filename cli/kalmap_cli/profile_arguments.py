"""The arguments of `kalmap profiles`, what it is followed by, and of `kalmap tune`."""

import argparse
from pathlib import Path
from typing import Any

from kalmap_cli.argument_parser import add_command, add_own_files, add_replace


def add_profiles(commands: Any) -> None:
    """Add the command and its parts. Alone it lists the built-in profiles."""
    parser = add_command(
        commands,
        "profiles",
        "list, explain, check or make profiles",
        "  kalmap profiles\n"
        "  kalmap profiles show glucose-cgm\n"
        "  kalmap profiles check my-weight.json\n"
        '  kalmap profiles new --unit lb --quantity "body weight" --out weight-lb.json\n'
        "  kalmap profiles new --unit points --quantity pain --from pain.csv --out pain.json\n"
        "  kalmap profiles schema --out profile.schema.json",
    )
    parser.set_defaults(command=_list, files=[])
    parts = parser.add_subparsers(title="parts", metavar="PART")
    part = add_command(
        parts,
        "list",
        "list the built-in profiles, and those of files",
        "  kalmap profiles list my-weight.json",
    )
    part.add_argument("files", nargs="*", metavar="FILE", help="a profile's file")
    part.set_defaults(command=_list)
    for name, what, examples, command in (
        (
            "show",
            "explain every field of a profile: value, unit and effect",
            "  kalmap profiles show glucose-cgm\n  kalmap profiles show my-weight.json",
            _show,
        ),
        (
            "check",
            "validate a profile, and say what it would do",
            "  kalmap profiles check body-weight\n  kalmap profiles check my-weight.json",
            _check,
        ),
    ):
        part = add_command(parts, name, what, examples)
        part.add_argument("profile", metavar="NAME|FILE", help="a built-in profile or a file")
        part.set_defaults(command=command)
    part = add_command(
        parts,
        "schema",
        "write the JSON schema of profiles, which editors use",
        "  kalmap profiles schema --out profile.schema.json\n"
        'and in a profile: {"$schema": "./profile.schema.json", "name": ...}',
    )
    _add_out(part, "the schema")
    part.set_defaults(command=_schema)
    _add_new(parts)


def _add_new(parts: Any) -> None:
    part = add_command(
        parts,
        "new",
        "make a profile: from readings, from a built-in one in another unit, or by questions",
        "  kalmap profiles new\n"
        '  kalmap profiles new --unit lb --quantity "body weight" --out weight-lb.json\n'
        "  kalmap profiles new --unit points --quantity pain --from pain.csv --out pain.json",
    )
    part.add_argument("--quantity", metavar="TEXT", help='what is measured, such as "body weight"')
    part.add_argument(
        "--from",
        dest="files",
        nargs="+",
        metavar="FILE",
        help="readings that the numbers are taken from, as for tune",
    )
    add_own_files(part)
    _add_out(part, "the profile")
    part.set_defaults(command=_new)


def _add_out(part: argparse.ArgumentParser, what: str) -> None:
    part.add_argument(
        "--out",
        type=Path,
        default=Path("-"),
        metavar="FILE",
        help=f"write {what} here (default: -, which is stdout)",
    )
    add_replace(part)


def _list(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.profiles import list_profiles  # noqa: PLC0415

    return list_profiles(arguments.files)


def _show(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.profiles import show_profile  # noqa: PLC0415

    return show_profile(arguments.profile)


def _check(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.profiles import check_profile  # noqa: PLC0415

    return check_profile(arguments.profile)


def _schema(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.profiles import write_schema  # noqa: PLC0415

    return write_schema(arguments.out, replace=arguments.replace)


def _new(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.profiles import new_profile  # noqa: PLC0415

    return new_profile(arguments)


def add_tune(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "tune",
        "fit a profile to many users' readings, and try it on users held out",
        "  kalmap tune readings.jsonl --out my-weight.json --name my-weight\n"
        "  kalmap tune chicks.csv --profile examples/chick-growth.json --out chicks.json",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="as for run, but not in S3")
    add_own_files(parser)
    parser.add_argument(
        "--profile",
        metavar="P",
        help="profile that gives unit, sources and window, and says whether there are faults, "
        "jumps and users' own noises: a built-in profile's name or a file "
        "(default: DEFAULT_PROFILE)",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="the new profile's name (default: the old name with -tuned)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("-"),
        metavar="PROFILE",
        help="write the profile here (default: -, which is stdout)",
    )
    add_replace(parser)
    parser.add_argument(
        "--even-if-worse",
        action="store_true",
        help="write the profile also if it is worse than P on users that it was not fitted to",
    )
    parser.set_defaults(command=_tune)


def _tune(arguments: argparse.Namespace) -> int:
    from kalmap_cli.commands.tune import tune  # noqa: PLC0415

    return tune(arguments)
