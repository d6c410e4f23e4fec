"""Pages of a batch's results, and pages of batches. A cursor marks where the next page begins."""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from kalmap.api.schemas import BatchPage, BatchView, ResultPage
from kalmap.batch.folder import Folder
from kalmap.errors import InvalidInput
from kalmap.records.shards import shard_of
from kalmap.results.merge import merge
from kalmap.results.selection import Selection, read_labels
from kalmap.store.ports import BatchPosition, BatchStore, ListedBatch

#: Lines after which a page ends, even if few of them match the filters.
_MAX_LINES = 50_000
#: The list that a cursor of batches belongs to. A batch's results are named after its folder.
_BATCHES = "batches"
_CHECKSUM_BYTES = 6
_DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


class _Position(msgspec.Struct, array_like=True, frozen=True):
    """Position of a page's last result."""

    shard: int = 0
    index: int = -1


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


def result_page(
    folder: Folder, *, limit: int, status: str | None, user: str | None, cursor: str | None
) -> ResultPage:
    """Read a page of the results of a batch that has ended.

    Args:
        folder: The batch's folder.
        limit: Most results of the page.
        status: Keep only results of this status.
        user: Keep only this user's results. Unreadable records belong to no user.
        cursor: The cursor of the page before.

    Returns:
        The page. If few of many results match, it may have fewer than `limit` results, or none,
        and another page may still follow.

    Raises:
        InvalidInput: The cursor does not come from a page of this list.
        InputNotFound: The batch ended before it had results.
    """
    position = _read_cursor(cursor, _Position, folder.prefix) if cursor else _Position()
    shards = folder.plan_counts().shards
    if not 0 <= position.shard < shards:
        raise _foreign_cursor()
    remaining: Iterable[int] = range(position.shard, shards)
    if user is not None:
        own = shard_of(user, shards)
        remaining = [own] if own >= position.shard else []
    rounds = folder.rounds()
    selection = Selection(user, status)
    results: list[msgspec.Raw] = []
    lines = 0
    for shard in remaining:
        after = position.index if shard == position.shard else -1
        found = (key for round_ in range(rounds) for key in folder.results_keys(round_, shard))
        for text in merge(folder.objects, found):
            line = read_labels(text)
            if line.index <= after:
                continue
            if len(results) == limit or lines == _MAX_LINES:
                return ResultPage(results, _cursor(_Position(shard, after), folder.prefix))
            lines, after = lines + 1, line.index
            if selection.takes(line):
                results.append(msgspec.Raw(text))
    return ResultPage(results, None)


def batch_page(records: BatchStore, *, limit: int, cursor: str | None) -> BatchPage:
    """Read a page of the batches, the newest first.

    Args:
        records: The table of batches.
        limit: Most batches of the page.
        cursor: The cursor of the page before.

    Raises:
        InvalidInput: The cursor does not come from a page of this list.
    """
    after = _read_cursor(cursor, BatchPosition, _BATCHES) if cursor else None
    page, last = records.page(limit, after)
    return BatchPage(list(map(batch_view, page)), _cursor(last, _BATCHES) if last else None)


def batch_view(batch: ListedBatch) -> BatchView:
    """Show what a list shows of a batch."""
    return BatchView(**{name: getattr(batch, name) for name in ListedBatch.__struct_fields__})


def _cursor(position: msgspec.Struct, list_name: str) -> str:
    data = msgspec.msgpack.encode(position)
    return base64.urlsafe_b64encode(_checksum(data, list_name) + data).decode().rstrip("=")


def _read_cursor(cursor: str, kind: type[Any], list_name: str) -> Any:
    try:
        whole = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        checksum, data = whole[:_CHECKSUM_BYTES], whole[_CHECKSUM_BYTES:]
        if checksum == _checksum(data, list_name):
            return msgspec.msgpack.decode(data, type=kind)
    except (ValueError, msgspec.MsgspecError, UnicodeError) as error:
        raise _foreign_cursor() from error
    raise _foreign_cursor()


def _checksum(data: bytes, list_name: str) -> bytes:
    """A checksum that finds mistyped cursors and those of other lists. It is not a secret."""
    key = list_name.encode()[-64:]
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES, key=key).digest()


def _foreign_cursor() -> InvalidInput:
    return InvalidInput("The cursor does not come from a page of this list.", "cursor")
