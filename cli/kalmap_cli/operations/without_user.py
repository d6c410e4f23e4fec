"""The content of kalmap's stored objects without one user. Of other users nothing changes."""

import io
import re
from collections.abc import Callable

import msgspec

from kalmap.api.cache import Key
from kalmap.api.frequent_users import FREQUENT_KEY
from kalmap.keys import ANSWERS, EARLIER_UNREADABLE, ROUNDS, Form, results_file
from kalmap.records.shards import shard_of
from kalmap.results.report import Report
from kalmap.results.table import decode_table, write_table
from kalmap.results.tally import from_json, to_json
from kalmap.store.ports import Change, StoredState
from kalmap_cli.operations.unreadable_users import UserOf, may_be_of

#: Returns an object's content without a user: the same bytes if the user is not in it, None if
#: the object is to be deleted.
Without = Callable[[bytes, str], bytes | None]


class _Labels(msgspec.Struct):
    user_id: str | None = None


class _Excerpt(msgspec.Struct):
    index: int = -1
    detail: str = ""
    excerpt: str = ""


_labels = msgspec.json.Decoder(_Labels).decode
_excerpt = msgspec.json.Decoder(_Excerpt).decode


def _result_lines(data: bytes, user: str) -> bytes:
    return b"".join(
        line for line in data.splitlines(keepends=True) if _labels(line).user_id != user
    )


def _lines(data: bytes, user: str) -> bytes | None:
    return _result_lines(data, user) or None


def _result_table(data: bytes, user: str) -> bytes:
    lines = list(decode_table(data))
    kept = [line for line in lines if _labels(line).user_id != user]
    if len(kept) == len(lines):
        return data
    file = io.BytesIO()
    write_table(kept, file)
    return file.getvalue()


def _unreadable_lines(user_of: UserOf) -> Without:
    def without(data: bytes, user: str) -> bytes | None:
        lines = data.splitlines(keepends=True)
        return b"".join(line for line in lines if not is_of_user(_excerpt(line), user)) or None

    def is_of_user(record: _Excerpt, user: str) -> bool:
        # The results know whose a record is, whatever its text looks like. They may be without
        # this user already, if an earlier call was killed.
        known = user_of(record.index)
        return known == user if known else may_be_of(user, record.excerpt, record.detail)

    return without


def _loaded(data: bytes, user: str) -> bytes:
    states = msgspec.msgpack.decode(data, type=dict[str, StoredState])
    return data if states.pop(user, None) is None else msgspec.msgpack.encode(states)


def _changed(data: bytes, user: str) -> bytes:
    changes = msgspec.msgpack.decode(data, type=list[Change])
    kept = [change for change in changes if change.user != user]
    return data if len(kept) == len(changes) else msgspec.msgpack.encode(kept)


def _users(data: bytes, user: str) -> bytes:
    users = msgspec.json.decode(data, type=list[str])
    return to_json([name for name in users if name != user]) if user in users else data


def _report(data: bytes, user: str) -> bytes:
    report = from_json(data, Report)
    if user not in report.conflicts:
        return data
    report.conflicts.remove(user)
    return to_json(report)


def _progress(data: bytes, user: str) -> bytes | None:
    """What a try without enough time had done: only a running batch goes on from it."""
    return None if user in _strings(msgspec.msgpack.decode(data)) else data


def _strings(content: object) -> set[str]:
    """All texts of a decoded content, also those that are keys."""
    if isinstance(content, str):
        return {content}
    if isinstance(content, dict):
        return _strings([*content, *content.values()])
    return set().union(*map(_strings, content)) if isinstance(content, list) else set()


def _frequent(data: bytes, user: str) -> bytes:
    cached = msgspec.json.decode(data, type=list[Key])
    kept = [key for key in cached if key.user != user]
    return data if len(kept) == len(cached) else msgspec.json.encode(kept)


#: What is done with the objects of a shard of an ended batch, by the name after their attempt's
#: folder. The group is the shard: only the user's own can have the user in it.
_OF_A_BATCH: tuple[tuple[str, Without], ...] = (
    (rf"{ROUNDS}\d+/states/(\d+)\.loaded", _loaded),
    (rf"{ROUNDS}\d+/states/(\d+)\.changed", _changed),
    (rf"{ROUNDS}\d+/users/(\d+)\.json", _users),
    (rf"{ROUNDS}\d+/writes/write-(\d+)\.json", _report),
    (rf"{ROUNDS}\d+/progress/[a-z]+-(\d+)", _progress),
    (r"failed/\d+-(\d+)\.jsonl", _lines),
    (r"revisions/\d+-(\d+)\.jsonl", _lines),
)
_OF_A_BATCH_BY_NAME = tuple((re.compile(name), without) for name, without in _OF_A_BATCH)
_OF_RESULTS: dict[Form, Without] = {"jsonl": _result_lines, "parquet": _result_table}
_UNREADABLE = re.compile(rf"(?:unreadable|{EARLIER_UNREADABLE})/[^/]+\.jsonl")


def rule_of_batch(key: str, user: str, shards: int, user_of: UserOf) -> Without | None:
    """How a user is taken out of an object of a batch; None if the object cannot have the user.

    Args:
        key: The object's key.
        user: The user.
        shards: The batch's number of shards.
        user_of: Says whose the batch's unreadable records are.
    """
    # A record that could not be read lies among the results of any shard, and may name its user.
    if results := results_file(key):
        return _OF_RESULTS[results.form]
    name = key.split("/", 3)[-1]
    if _UNREADABLE.fullmatch(name):
        return _unreadable_lines(user_of)
    for pattern, without in _OF_A_BATCH_BY_NAME:
        if match := pattern.fullmatch(name):
            return without if int(match[1]) == shard_of(user, shards) else None
    return None


def rule_of_api(key: str) -> Without | None:
    """How a user is taken out of an object that the HTTP API has stored; None for other objects."""
    if key == FREQUENT_KEY:
        return _frequent
    return _lines if key.startswith(ANSWERS) else None
