"""`kalmap states`: the stored states, as JSONL sorted by user and profile."""

import base64
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from kalmap.moments import moment_at
from kalmap.store.item import StoredItem, stored_item
from kalmap.store.states import StateStore
from kalmap_cli.exits import DONE, WrongUsage
from kalmap_cli.target import Target, target


def states(data_dir: Path | None, stack: str | None, user: str | None, out: Path | None) -> int:
    """Write the stored states as JSONL to a file, or to stdout.

    Raises:
        WrongUsage: The output file cannot be written, or the user has no state.
    """
    with target(None, data_dir, stack) as place:
        found = sorted(
            _of_user(place, user) if user is not None else _all(place),
            key=lambda item: (item.user, item.profile),
        )
    if user is not None and not found:
        raise WrongUsage(f"There is no stored state of a user {user!r}.")
    if out is None:
        write(found, sys.stdout.buffer)
        return DONE
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(found, file)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WrongUsage(f"{out} cannot be written: {error.strerror or error}.") from error
    print(f"{len(found):,} states in {out}", file=sys.stderr)
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
    file.flush()


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
