"""`kalmap states`: the stored states, as JSONL sorted by user and profile."""

import base64
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from kalmap.moments import moment_at
from kalmap.store.dynamodb.item import StoredItem, stored_item
from kalmap.store.dynamodb.states import StateStore
from kalmap.wording import counted
from kalmap_cli.exits import DONE, WrongUsage
from kalmap_cli.outputs import check_outputs, check_outside, is_special, written
from kalmap_cli.target import Target, target


def states(data_dir: Path | None, stack: str | None, user: str | None, out: Path) -> int:
    """Write the stored states as JSONL.

    Raises:
        WrongUsage: The output file cannot be written, or the user has no state.
        RunFailed: It could not be written to its end.
    """
    check_outside(out, data_dir)
    check_outputs({"--out": out})
    with target(None, data_dir, stack) as place:
        found = sorted(
            _of_user(place, user) if user is not None else _all(place),
            key=lambda item: (item.user, item.profile),
        )
    if user is not None and not found:
        raise WrongUsage(f"There is no stored state of a user {user!r}.")
    with written(out) as file:
        write(found, file)
    if not is_special(out):
        print(f"{counted(len(found), 'state')} in {out}", file=sys.stderr)
    return DONE


def write(items: Iterable[StoredItem], file: BinaryIO) -> None:
    """Write states as JSONL: the readable fields, and the exact state as base64.

    Version and tokens are left out: they name writes, and are no part of what is known
    about a user.
    """
    for item in items:
        as_of = None if item.as_of is None else moment_at(item.as_of)
        line = {
            "user_id": item.user,
            "profile": item.profile,
            "level": item.level,
            "slope": item.slope,
            "as_of": as_of,
            "state": base64.b64encode(item.state.body).decode(),
        }
        file.write(msgspec.json.encode(line) + b"\n")


def _all(place: Target) -> Iterator[StoredItem]:
    yield from StateStore(place.clients("dynamodb"), place.stack.states_table).scan()


def _of_user(place: Target, user: str) -> Iterator[StoredItem]:
    """A user's states, of every profile, without reading anyone else's."""
    pages = place.clients("dynamodb").get_paginator("query")
    query: dict[str, Any] = {
        "TableName": place.stack.states_table,
        "KeyConditionExpression": "user_id = :user",
        "ExpressionAttributeValues": {":user": {"S": user}},
        "ConsistentRead": True,
    }
    for page in pages.paginate(**query):
        yield from map(stored_item, page["Items"])
