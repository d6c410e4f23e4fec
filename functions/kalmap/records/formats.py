"""Formats: JSONL told from CSV by the first bytes, gzipped or not."""

import csv
import zlib
from typing import Literal

from kalmap.errors import UnknownFormat
from kalmap.records.measurement import MAX_LINE_BYTES, OPTIONAL_FIELDS, REQUIRED_FIELDS
from kalmap.records.other_formats import what_else

Format = Literal["jsonl", "csv"]

#: The byte order mark that some programs put in front of UTF-8.
BOM = b"\xef\xbb\xbf"
#: What gzip begins with.
GZIP = b"\x1f\x8b"


def detect_format(name: str, head: bytes) -> Format:
    """Tell JSONL from CSV.

    Args:
        name: The object's or file's name; used in the sentence only.
        head: The first bytes of the content, gzipped or not; 64 KB are enough.

    Raises:
        UnknownFormat: It is neither, or a CSV header lacks a required column.
    """
    text = inflate_head(name, head).removeprefix(BOM)
    if other := what_else(text):
        raise UnknownFormat(f"{name} is {other.kind}, not JSONL or CSV. {other.advice}")
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    if any(line.lstrip().startswith(b"{") for line in lines):
        return "jsonl"
    header = csv_header(lines[0]) if lines else []
    missing = [field for field in REQUIRED_FIELDS if field not in header]
    if not missing:
        return "csv"
    if len(missing) < len(REQUIRED_FIELDS):
        raise UnknownFormat(
            f"{name}: the CSV header lacks the column {' and '.join(missing)}. It needs "
            f"{', '.join(REQUIRED_FIELDS)} and may have {', '.join(OPTIONAL_FIELDS)}."
        )
    raise UnknownFormat(
        f"{name} is neither JSONL (one JSON object a line) nor CSV with the header "
        f"{','.join(REQUIRED_FIELDS)}. Give it one of these forms, gzipped or not."
    )


def inflate_head(name: str, head: bytes) -> bytes:
    """The first bytes of a content that may be gzipped.

    Raises:
        UnknownFormat: It begins like gzip but is not.
    """
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 4 * MAX_LINE_BYTES)
    except zlib.error as error:
        raise UnknownFormat(f"{name} begins like gzip but cannot be inflated: {error}.") from error


def csv_header(line: bytes) -> list[str]:
    """The column names of a CSV header line; empty where it is none."""
    try:
        text = line.removeprefix(BOM).decode()
    except UnicodeDecodeError:
        return []
    try:
        row = next(csv.reader([text.rstrip("\r\n")]), [])
    except csv.Error:
        return []
    return [name.strip().lower() for name in row]
