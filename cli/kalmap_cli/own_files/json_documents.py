"""JSON documents: a whole file of JSON is no table, but one line of jq makes one of it."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from kalmap.records.dialects import listed
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.fields import counts_from_1970, is_numeric, time_columns
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table

_MOST_DEPTH = 6
#: Names are joined by points, as in value.bpm.
_FLAT = (
    '[paths(scalars) as $p | {key: ($p | map(tostring) | join(".")), value: getpath($p)}] '
    "| from_entries"
)
#: Of an object of columns, each a list or an object of cells.
_TRANSPOSED = (
    "keys_unsorted as $names | [.[] | [.[]]] | transpose[] | [$names, .] | transpose "
    "| map({key: .[0], value: .[1]}) | from_entries"
)
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def json_advice(sample: Sample) -> str | None:
    """A sentence if a file is one JSON document; None if it is not."""
    start = sample.head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith((b"{", b"[")) or _is_lines(start):
        return None
    path = ".path.to.the.list[]" if start.startswith(b"{") else ".[]"
    found = ""
    if sample.whole:
        try:
            lists = list(_lists(json.loads(sample.start.decode("utf-8-sig")), "", 0))
        except (ValueError, RecursionError):
            return None
        if not lists:
            return None
        path, fields = max(lists, key=lambda item: item[2])[:2]
        found = f" Its objects have the fields {', '.join(fields[:12])}."
    file = sample.file
    command = f"jq -c {shlex.quote(path)} {shlex.quote(str(file))} > {file.stem}.jsonl"
    return (
        f"{file} is one JSON document, not one object a line.{found} Write each object on a line "
        f"of its own: {command} - then give {file.stem}.jsonl."
    )


def refuse_nested(sample: Sample, table: Table) -> None:
    """Refuse objects whose time or value is in an object within them.

    Raises:
        WrongUsage: They are such objects. The sentence has the line of jq that makes them flat.
    """
    nested = list(table.unread)
    if table.layout != "jsonl" or table.title or not nested:
        return
    times = time_columns(table)
    others = [table.cells(name) for name in table.columns if name not in times]
    if times and any(is_numeric(cells) and not counts_from_1970(cells) for cells in others):
        return
    file, script, what = sample.file, _FLAT, "objects or lists in them"
    if sample.whole and not table.columns and len(nested) > 1 and sample.start.count(b"\n") <= 1:
        script, what = _TRANSPOSED, "a list of values for each column"
    command = f"jq -c {shlex.quote(script)} {shlex.quote(str(file))} > flat.jsonl"
    raise WrongUsage(
        f"{file}: its objects have {what} ({listed(nested)}). kalmap reads one flat object a "
        f"line. Write them so: {command} - then give flat.jsonl."
    )


def _is_lines(start: bytes) -> bool:
    """Whether the first line is an object without lists of objects in it."""
    line = start.partition(b"\n")[0]
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return start.startswith(b"{") and b"}" in line
    return isinstance(content, dict) and not any(_lists(content, "", 0))


def _lists(content: Any, path: str, depth: int) -> Iterator[tuple[str, list[str], int]]:
    """Lists of objects: their path for jq, the fields of the first object, and their length."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(content, list) and content and isinstance(content[0], dict):
        yield f"{path or '.'}[]", list(content[0]), len(content)
    if isinstance(content, dict):
        for name, value in content.items():
            step = name if _PLAIN.fullmatch(name) else json.dumps(name)
            yield from _lists(value, f"{path}.{step}", depth + 1)
