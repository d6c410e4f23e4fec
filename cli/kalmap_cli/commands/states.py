"""`kalmap states`: the stored states, as JSONL sorted by user and profile."""

import base64
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from kalmap.moments import moment_at
from kalmap.store.backoff import RetryPolicy
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.ports import UserState
from kalmap.wording import counted
from kalmap_cli.exits import DONE, WrongUsage
from kalmap_cli.outputs import check_outputs, check_outside, is_special, written
from kalmap_cli.target import target


def states(data_dir: Path | None, stack: str | None, user: str | None, out: Path) -> int:
    """Write the stored states as JSONL.

    Raises:
        WrongUsage: The output file cannot be written, or the user has no state.
        RunFailed: It could not be written to its end.
    """
    check_outside(out, data_dir)
    check_outputs({"--out": out})
    with target(None, data_dir, stack) as place:
        # The command line's clients retry by themselves.
        store = DynamoDBStateStore(
            place.clients("dynamodb"), place.stack.states_table, retry=RetryPolicy(attempts=1)
        )
        found = sorted(
            store.scan() if user is None else store.of_user(user),
            key=lambda state: (state.user, state.profile),
        )
    if user is not None and not found:
        raise WrongUsage(f"There is no stored state of a user {user!r}.")
    with written(out) as file:
        write(found, file)
    if not is_special(out):
        print(f"{counted(len(found), 'state')} in {out}", file=sys.stderr)
    return DONE


def write(states: Iterable[UserState], file: BinaryIO) -> None:
    """Write states as JSONL: the readable fields, and the exact state as base64.

    Version and tokens are left out: they name writes, and say nothing about a user.
    """
    for stored in states:
        line = {
            "user_id": stored.user,
            "profile": stored.profile,
            "level": stored.level,
            "slope": stored.slope,
            "as_of": None if stored.as_of is None else moment_at(stored.as_of),
            "state": base64.b64encode(stored.state.body).decode(),
        }
        file.write(msgspec.json.encode(line) + b"\n")
