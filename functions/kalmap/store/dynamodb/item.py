"""A user's state as an item of the table: its attributes, and the tokens of its writes.

The binary attribute `state` is the fold's exact state (the body), followed by the last four
version tokens, newest first. Each token is a little-endian 64-bit integer, and 0 if there were
fewer writes. The newest token is also the attribute `version`, on which the next write is
conditional. `level`, `slope` and `as_of` are for people and queries. No code computes with them.
"""

import math
import re
import struct
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from kalmap.moments import iso, microseconds, moment_at
from kalmap.store.ports import Change, StoredState, UserState

#: An attribute in the form of the DynamoDB client, such as {"N": "1.5"}.
Attribute = Mapping[str, Any]

_TOKENS = struct.Struct("<4Q")
_DIGITS = re.compile(r"[0-9]{1,20}")


def version_token(batch: str, attempt: str, round_: int, user: str, old: StoredState | None) -> int:
    """Compute the token of one write of a user's state by a round of a batch's attempt.

    A task that runs twice computes the same token twice, and so recognises its first write. Two
    writes that differ in any argument have the same token with probability 2**-64.

    Returns:
        An unsigned 64-bit integer, never 0.
    """
    name = msgspec.json.encode((batch, attempt, round_, user, old and old.version))
    # 0 stands for "no token" in the item.
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little") or 1


def state_after(change: Change, token: int) -> StoredState:
    """The stored state after a change is written under a token."""
    older = change.old.tokens if change.old else ()
    return StoredState(token, change.body, (token, *older)[:4])


def values(change: Change, token: int) -> dict[str, Attribute]:
    """The attributes that writing a change sets, without the key."""
    tokens = (*state_after(change, token).tokens, 0, 0, 0)[:4]
    return {
        "version": {"N": str(token)},
        "level": _number(change.level),
        "slope": _number(change.slope),
        "as_of": {"S": iso(moment_at(int(change.as_of)))},
        "state": {"B": change.body + _TOKENS.pack(*tokens)},
    }


def key(user: str, profile: str) -> dict[str, Attribute]:
    """The key attributes of a user's item."""
    return {"user_id": {"S": user}, "profile": {"S": profile}}


def stored_state(item: Mapping[str, Attribute]) -> StoredState:
    """Read the state of an item, which another program may have written.

    If the newest token is not the version, another program wrote the bytes. All of them are then
    the body, which the fold refuses.
    """
    digits = str(item.get("version", {}).get("N", ""))
    version = int(digits) if _DIGITS.fullmatch(digits) else 0
    raw = item.get("state", {}).get("B", b"")
    data = bytes(raw) if isinstance(raw, bytes | bytearray) else b""
    if len(data) >= _TOKENS.size:
        tokens = _TOKENS.unpack(data[-_TOKENS.size :])
        if tokens[0] == version != 0:
            return StoredState(version, data[: -_TOKENS.size], tuple(t for t in tokens if t))
    return StoredState(version, data, ())


def user_state(item: Mapping[str, Attribute]) -> UserState:
    """Read an item with its readable attributes."""
    return UserState(
        item["user_id"]["S"],
        item["profile"]["S"],
        stored_state(item),
        _float(item.get("level", {})),
        _float(item.get("slope", {})),
        _microseconds(item.get("as_of", {})),
    )


def _number(value: float) -> Attribute:
    """A float as a DynamoDB number; NULL if DynamoDB has no such number."""
    if not math.isfinite(value) or abs(value) > 9e125:
        return {"NULL": True}
    # Seven digits are enough to read, and leave the item its write unit.
    return {"N": f"{value:.7g}" if abs(value) >= 1e-130 else "0"}


def _float(attribute: Attribute) -> float | None:
    try:
        return float(attribute["N"])
    except (KeyError, TypeError, ValueError):
        return None


def _microseconds(attribute: Attribute) -> int | None:
    try:
        return microseconds(datetime.fromisoformat(attribute["S"]))
    except (KeyError, TypeError, ValueError):
        return None
