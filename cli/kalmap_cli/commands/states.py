"""`kalmap states`: write the stored states as JSONL, sorted by user and profile."""

import base64
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from kalmap.moments import moment_at
from kalmap.plural import counted
from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import UserState
from kalmap_cli.deployment import open_deployment
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.output_files import (
    check_outputs,
    check_outside_data_directory,
    is_stream,
    open_output,
)


def states(data_dir: Path | None, stack: str | None, user: str | None, out: Path) -> int:
    """Write the stored states as JSONL.

    Raises:
        WrongUsage: The output file cannot be written, or the user has no state.
        RunFailed: The output file could not be completed.
    """
    check_outside_data_directory(out, data_dir)
    check_outputs({"--out": out})
    with open_deployment(None, data_dir, stack) as deployment:
        # One attempt, because the clients of the command line retry by themselves.
        store = DynamoDBStateStore(
            deployment.clients("dynamodb"),
            deployment.stack.states_table,
            retry=RetryPolicy(attempts=1),
        )
        stored = sorted(
            store.scan() if user is None else store.of_user(user),
            key=lambda state: (state.user, state.profile),
        )
    if user is not None and not stored:
        raise WrongUsage(f"There is no stored state of user {user!r}.")
    with open_output(out) as file:
        write(stored, file)
    if not is_stream(out):
        print(f"{counted(len(stored), 'state')} in {out}", file=sys.stderr)
    return DONE


def write(states: Iterable[UserState], file: BinaryIO) -> None:
    """Write states as JSONL: the readable fields, and the exact state as base64.

    Version and tokens are omitted. They identify writes, and say nothing about a user.
    """
    for state in states:
        line = {
            "user_id": state.user,
            "profile": state.profile,
            "level": state.level,
            "slope": state.slope,
            "as_of": None if state.as_of is None else moment_at(state.as_of),
            "state": base64.b64encode(state.state.body).decode(),
        }
        file.write(msgspec.json.encode(line) + b"\n")
