"""Pages of a batch's results and of the batches. A cursor says where the next page begins."""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from kalmap.api.wire import BatchPage, BatchView, ResultPage
from kalmap.batch.folder import Folder
from kalmap.errors import InvalidInput
from kalmap.outcome import Status
from kalmap.records.shards import shard_of
from kalmap.results.merge import merge
from kalmap.store.ports import BatchPosition, BatchRecord, BatchStore

#: A page ends after so many lines, however few of them were asked for.
_MOST_LINES = 50_000
#: The list that a cursor belongs to; a batch's results go by their folder's name.
_BATCHES = "batches"
_CHECK_BYTES = 6
_DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
STATUSES = tuple(status.label for status in Status)
#: Names of statuses in the results of earlier batches, accepted until version 0.2.
_EARLIER = {"invalid": "unreadable"}


class _Place(msgspec.Struct, array_like=True, frozen=True):
    """The last result of a page."""

    shard: int = 0
    index: int = -1


class _Line(msgspec.Struct):
    index: int
    user_id: str | None
    status: str


def page_limit(text: str | None) -> int:
    """Read the query parameter `limit`: the most items of a page.

    Raises:
        InvalidInput: It is not a whole number within its bounds.
    """
    if text is None:
        return _DEFAULT_LIMIT
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise InvalidInput(f"limit must be a whole number from 1 to {MAX_LIMIT}.", "limit")


def result_status(text: str | None) -> str | None:
    """Read the query parameter `status` of results.

    Raises:
        InvalidInput: No result has such a status.
    """
    status = None if text is None else _EARLIER.get(text, text)
    if status is not None and status not in STATUSES:
        raise InvalidInput(f"status must be one of {', '.join(STATUSES)}.", "status")
    return status


def result_page(
    folder: Folder, *, limit: int, status: str | None, user: str | None, cursor: str | None
) -> ResultPage:
    """Some of an ended batch's results.

    Args:
        folder: The batch's.
        limit: Most results of a page.
        status: Only results of this status.
        user: Keep only this user's results. Unreadable records belong to no user.
        cursor: Of the page before.

    Returns:
        A page; with few hits in many results it may have fewer than `limit`, or none, and
        still not be the last.

    Raises:
        InvalidInput: The cursor does not come from a page of this list.
        InputNotFound: The batch ended before it had results.
    """
    place = _read_cursor(cursor, _Place, folder.prefix) if cursor else _Place()
    shards = folder.cut().shards
    if not 0 <= place.shard < shards:
        raise _foreign_cursor()
    wanted: Iterable[int] = range(place.shard, shards)
    if user is not None:
        own = shard_of(user, shards)
        wanted = [own] if own >= place.shard else []
    rounds = folder.rounds()
    decode = msgspec.json.Decoder(_Line).decode
    found: list[msgspec.Raw] = []
    seen = 0
    for shard in wanted:
        after = place.index if shard == place.shard else -1
        for text in merge(folder.objects, _shard_keys(folder, shard, rounds)):
            line = decode(text)
            if line.index <= after:
                continue
            if len(found) == limit or seen == _MOST_LINES:
                return ResultPage(found, _cursor(_Place(shard, after), folder.prefix))
            seen, after = seen + 1, line.index
            known = {None, line.status, _EARLIER.get(line.status)}
            if status in known and user in {None, line.user_id}:
                found.append(msgspec.Raw(text))
    return ResultPage(found, None)


def batch_page(records: BatchStore, *, limit: int, cursor: str | None) -> BatchPage:
    """Some of the batches, the newest first.

    Args:
        records: The table of batches.
        limit: Most batches of a page.
        cursor: Of the page before.

    Raises:
        InvalidInput: The cursor does not come from a page of this list.
    """
    after = _read_cursor(cursor, BatchPosition, _BATCHES) if cursor else None
    page, last = records.page(limit, after)
    return BatchPage(list(map(batch_view, page)), _cursor(last, _BATCHES) if last else None)


def batch_view(record: BatchRecord) -> BatchView:
    """A batch as its record describes it."""
    return BatchView(
        batch_id=record.batch_id,
        status=record.status,
        reason=record.reason,
        execution_arn=record.execution_arn,
        started_at=record.started_at,
        finished_at=record.finished_at,
        received=record.received,
        accepted=record.accepted,
        users=record.users,
        changed=record.changed,
    )


def _shard_keys(folder: Folder, shard: int, rounds: int) -> Iterator[str]:
    """The keys of a shard's result files in every round."""
    for round_ in range(rounds):
        yield from folder.objects.keys(folder.results_key(round_, shard).removesuffix(".jsonl"))


def _cursor(place: msgspec.Struct, of: str) -> str:
    data = msgspec.msgpack.encode(place)
    return base64.urlsafe_b64encode(_check(data, of) + data).decode().rstrip("=")


def _read_cursor(cursor: str, kind: type[Any], of: str) -> Any:
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        check, data = whole[:_CHECK_BYTES], whole[_CHECK_BYTES:]
        if check == _check(data, of):
            return msgspec.msgpack.decode(data, type=kind)
    except (ValueError, msgspec.MsgspecError, UnicodeError) as error:
        raise _foreign_cursor() from error
    raise _foreign_cursor()


def _check(data: bytes, of: str) -> bytes:
    """A checksum that differs for cursors of other lists and for mistyped ones. It is no secret."""
    return hashlib.blake2b(data, digest_size=_CHECK_BYTES, key=of.encode()[-64:]).digest()


def _foreign_cursor() -> InvalidInput:
    return InvalidInput("The cursor does not come from a page of this list.", "cursor")
