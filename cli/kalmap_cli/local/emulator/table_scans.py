"""A page of a scan costs as much as its items, and not as much as the table.

For each page, ministack sorts all keys of the table, lists all items, and compares each with the
key that the page begins after. With 50,000 items that is four fifths of a page's time, in which no
other request is answered. Here a page that asks for a part of a whole table begins at its key. All
other scans are ministack's own.
"""

from collections.abc import Iterator
from typing import Any

from ministack.services import dynamodb

#: What a scan of a whole table says.
_PLAIN = frozenset(
    ("TableName", "ConsistentRead", "ExclusiveStartKey", "Limit", "ReturnConsumedCapacity")
)

# The version is pinned exactly.
_scan_anew = dynamodb._scan  # noqa: SLF001
_key_of = dynamodb._extract_key_val  # noqa: SLF001


def install() -> None:
    """Let ministack's scans begin at their keys."""
    dynamodb._scan = scan  # noqa: SLF001


def scan(request: dict[str, Any]) -> Any:
    """Answer a scan as ministack does."""
    name = dynamodb._normalize_table_name(request.get("TableName"))  # noqa: SLF001
    table = dynamodb._tables.get(name) if _PLAIN.issuperset(request) else None  # noqa: SLF001
    start = request.get("ExclusiveStartKey")
    # A first page has the answers to what is wrong with a request.
    if not table or not start or not _names(table) <= start.keys():
        return _scan_anew(request)
    items, has_more = dynamodb._paginate_evaluated_items(  # noqa: SLF001
        _items_after(table, start), request.get("Limit"), table
    )
    answer = {"Items": items, "Count": len(items), "ScannedCount": len(items)}
    if has_more:
        keys = table["pk_name"], table["sk_name"]
        answer["LastEvaluatedKey"] = dynamodb._build_key(items[-1], *keys)  # noqa: SLF001
    dynamodb._add_consumed_capacity(answer, request, name)  # noqa: SLF001
    return dynamodb.json_response(answer)


def _names(table: dict[str, Any]) -> set[str]:
    return {name for name in (table["pk_name"], table.get("sk_name")) if name}


def _items_after(table: dict[str, Any], start: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The items behind a key, in the order of their keys."""
    items, sort_name = table["items"], table.get("sk_name")
    first, sort_key = _key_of(start[table["pk_name"]]), ""
    if sort_name:
        sort_key = _key_of(start[sort_name])
    for key in sorted(key for key in items if key >= first):
        for other in sorted(items[key]):
            if (key, other if sort_name else "") > (first, sort_key):
                yield items[key][other]
