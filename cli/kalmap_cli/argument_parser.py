"""How arguments are parsed: errors as sentences, and help with examples that fits a terminal."""

import argparse
import textwrap
from pathlib import Path
from typing import Any, NoReturn, get_args

from kalmap.records.mapping import Dates
from kalmap_cli.errors import WrongUsage, as_sentence

#: The formats of results; kalmap_cli.results_files writes each.
FORMATS = ("jsonl", "csv", "parquet")


class Parser(argparse.ArgumentParser):
    """Refuses wrong arguments with a sentence, as the commands do."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise WrongUsage(
            f"{as_sentence(message[:1].upper() + message[1:])} `{self.prog} --help` has examples."
        )


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Puts the default profile's name into help texts, and breaks lines only between words.

    The constant is imported when help is shown: its module takes longer to import than all else.
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        from kalmap.profile import DEFAULT_PROFILE  # noqa: PLC0415

        return action.help and action.help.replace("DEFAULT_PROFILE", DEFAULT_PROFILE)

    def _split_lines(self, text: str, width: int) -> list[str]:
        # A name such as body-weight stays on one line.
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Version(argparse.Action):
    """Prints the version. Finding it is slow, so it happens only here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version, and end."""
        from importlib.metadata import version  # noqa: PLC0415

        print(f"{parser.prog} {version('kalmap')}")
        parser.exit()


def add_command(commands: Any, name: str, help_: str, examples: str) -> argparse.ArgumentParser:
    """Add a command with its help.

    Args:
        commands: What `add_subparsers` returned.
        name: The command's name.
        help_: What it does, as a phrase.
        examples: A line each.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_,
        description=f"{help_[0].upper()}{help_[1:]}.",
        epilog=f"examples:\n{examples}",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    return parser


def add_own_files(parser: argparse.ArgumentParser) -> None:
    """Add the options about files of other programs."""
    for name, metavar, what in (
        (
            "columns",
            "FIELDS",
            'columns of fields (example: timestamp=date,value="Weight (kg)")',
        ),
        ("user", "NAME", "the user of all records"),
        ("unit", "UNIT", "the unit of all values without their own"),
        ("source", "NAME", "the source of all records without their own"),
        ("tz", "ZONE", "time zone of times without an offset (example: Europe/Berlin)"),
        (
            "dates",
            "FORM",
            f"how dates are written: {', '.join(get_args(Dates))}",
        ),
        ("decimal", "MARK", "the decimal mark of values, a point or a comma (example: ,)"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, help=what)


def add_quiet_and_json(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is printed."""
    parser.add_argument(
        "--quiet", action="store_true", help="print nothing but errors: no progress, no summary"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the summary and the paths of all files as one JSON object on stdout",
    )


def add_now(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what counts as the future."""
    parser.add_argument(
        "--now",
        metavar="TIME",
        help="treat readings later than this as in the future (default: when the batch starts)",
    )


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the directory of a batch's results."""
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="directory for results.jsonl (or .csv, .parquet), unreadable.jsonl and summary.json, "
        "and for rejected.jsonl, failed.jsonl and revisions.jsonl unless they are empty; the "
        "results of another batch are never overwritten (default: one directory for each batch in "
        "kalmap-out; the link kalmap-out/latest leads to the newest)",
    )


def add_replace(parser: argparse.ArgumentParser) -> None:
    """Add the option that lets a command overwrite the file that --out names."""
    parser.add_argument(
        "--replace", action="store_true", help="replace the file that --out names, if it exists"
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the option that says in which format results are written."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        metavar="FORMAT",
        help=f"format of the results: {', '.join(FORMATS)} (default: {FORMATS[0]})",
    )
