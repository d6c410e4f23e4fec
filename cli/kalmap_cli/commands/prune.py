"""`kalmap prune`: delete the states of users from whom nothing has come for long."""

import argparse
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path

from kalmap.moments import microseconds
from kalmap.plural import counted
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, FAILED, InterruptMessage, WrongUsage
from kalmap_cli.file_names import printable
from kalmap_cli.operations.prune import prune as prune_states
from kalmap_cli.terminal import fit_to_terminal


def prune(arguments: argparse.Namespace, data_dir: Path | None, stack: str | None) -> int:
    """Delete the states whose newest reading is older than a date.

    Args:
        arguments: Of the command line.
        data_dir: Of the local cloud; unused with a stack.
        stack: Name of a deployed stack; None for the local cloud.

    Returns:
        The exit code.

    Raises:
        WrongUsage: The date is none, or has not come yet.
    """
    before = _before(arguments.before)
    with (
        InterruptMessage("Some states may be deleted. The same command goes on.") as message,
        open_deployment(None, data_dir, stack) as deployment,
    ):
        if arguments.rehearse:
            message.sentence = "Nothing was deleted."
        done = prune_states(
            deployment.states, before, arguments.profile, rehearse=arguments.rehearse
        )
    verb = "would be deleted" if arguments.rehearse else "deleted"
    outcome = (
        f"{counted(done.deleted, 'state')} without a reading since {arguments.before} {verb}, "
        f"{done.kept:,} with newer readings kept. Such a user begins anew with the next reading."
    )
    lines = [outcome]
    if arguments.profile and not (done.deleted or done.kept or done.damaged):
        lines.append(f"No state is stored under the profile {printable(arguments.profile)}.")
    if done.damaged:
        lines.append(f"{counted(done.damaged, 'damaged state')} kept.")
    lines += done.failed[:3]
    for line in lines:
        print(fit_to_terminal(line, sys.stderr), file=sys.stderr)
    return FAILED if done.failed else DONE


def _before(text: str) -> int:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise WrongUsage(
            f"--before is {text!r}, which is no date. Write for example 2025-01-01."
        ) from error
    if day > datetime.now(UTC).date():
        raise WrongUsage(
            f"--before is {day}, which has not come yet: every state would be deleted. Name a day "
            "that has passed."
        )
    return microseconds(datetime.combine(day, time(), UTC))
