"""`kalmap completion`: print a script that completes kalmap's commands and options in a shell."""

import argparse
from pathlib import Path
from typing import Any

import shtab


def completion(parser: argparse.ArgumentParser, shell: str) -> None:
    """Print the script for a shell.

    Args:
        parser: Of all commands.
        shell: bash, zsh or fish.
    """
    _complete_names_of_files(parser)
    print(shtab.complete(parser, shell))


def _complete_names_of_files(parser: argparse.ArgumentParser) -> None:
    """Let arguments that are paths, or may be, be completed by the names of files."""
    for action in parser._actions:  # noqa: SLF001 - argparse lists them nowhere else
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                _complete_names_of_files(command)
        elif action.type is Path or action.dest in {"files", "profile"}:
            completed: Any = action
            completed.complete = shtab.FILE
