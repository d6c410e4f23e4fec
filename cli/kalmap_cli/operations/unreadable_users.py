"""Whose a record is that could not be read: as its results say, as it says itself, or by a word."""

import json
import re
from collections.abc import Callable, Iterable

from kalmap.outcome import Status
from kalmap.records.measurement import as_name
from kalmap.results.selection import read_labels

#: Returns the user of the unreadable record with an index, as the results have it; else None.
UserOf = Callable[[int], str | None]

#: A user in a line of JSON that is cut off or broken.
_IN_BROKEN_JSON = re.compile(r'^\s*\{.*?"user_id"\s*:\s*("(?:[^"\\]|\\.)*"|\d+)', re.DOTALL)


def users_by_index(lines: Iterable[bytes]) -> dict[int, str]:
    """The users of unreadable records that result lines name, by the records' indices."""
    unreadable = Status.UNREADABLE.label
    users = {}
    for line in lines:
        if unreadable.encode() in line:
            labels = read_labels(line)
            if labels.status == unreadable and labels.user_id is not None:
                users[labels.index] = labels.user_id
    return users


def may_be_of(user: str, excerpt: str, detail: str = "") -> bool:
    """Whether an unreadable record is a user's, or may be since nothing says whose it is.

    Args:
        user: The user.
        excerpt: The beginning of the record.
        detail: What is wrong with it.
    """
    if (own := _own_user(excerpt)) is not None:
        return own == user
    # A mapping may name another field, and a row of a table names none.
    spellings = {
        user,
        json.dumps(user)[1:-1],
        json.dumps(user, ensure_ascii=False)[1:-1],
        user.replace('"', '""'),
    }
    text = f"{detail}\n{excerpt}"
    return any(
        re.search(rf"(?<![\w-]){re.escape(spelling)}(?![\w-])", text) for spelling in spellings
    )


def _own_user(excerpt: str) -> str | None:
    """The field `user_id` of a record of JSON, also of one that is cut off or broken."""
    try:
        record = json.loads(excerpt)
    except (ValueError, RecursionError):
        found = _IN_BROKEN_JSON.match(excerpt)
        record = {"user_id": _decoded(found[1])} if found else None
    name = as_name(record.get("user_id")) if isinstance(record, dict) else None
    return name if isinstance(name, str) else None


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
