"""JSON documents: a whole file of JSON is no table, but one line of jq makes one of it."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from kalmap_cli.own_files.samples import Sample

_MOST_DEPTH = 6
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
