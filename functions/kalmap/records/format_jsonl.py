"""JSONL: one JSON object a line."""

import json
from collections.abc import Callable
from typing import ClassVar

import msgspec
import numpy as np

from kalmap.outcome import Reason
from kalmap.records.line_format import BOM, LineFormat, decode_text, may_hold_a_long_line
from kalmap.records.measurement import Measurement, RecordError

#: A content is JSONL if one of this many first lines begins like an object. So a broken first line
#: does not hide the format.
_LINES_LOOKED_AT = 50
_LINE_END, _RETURN, _OPENS, _CLOSES = b"\n\r{}"
_decoder = msgspec.json.Decoder(Measurement)


class Jsonl(LineFormat, frozen=True, tag="jsonl"):
    """JSONL: one JSON object a line."""

    title: ClassVar[str] = "JSONL"
    form: ClassVar[str] = "JSONL (one JSON object a line)"

    @classmethod
    def recognise(cls, name: str, head: bytes) -> "Jsonl | None":  # noqa: ARG003 - for all formats
        """Return the format if a content's first lines have it."""
        lines = head.removeprefix(BOM).splitlines()[:_LINES_LOOKED_AT]
        return cls() if any(line.lstrip().startswith(b"{") for line in lines) else None

    @classmethod
    def fields_of(cls, head: bytes) -> set[str]:
        """The names in the first object; none if it is not whole."""
        lines = head.removeprefix(BOM).splitlines()[:_LINES_LOOKED_AT]
        first = next((line for line in lines if line.lstrip().startswith(b"{")), b"")
        try:
            return set(json.loads(first))
        except (ValueError, RecursionError):
            return set()

    def decode_block(self, data: bytes) -> list[Measurement] | None:
        """Decode all lines at once, one record each; None if they must be decoded one by one."""
        if may_hold_a_long_line(data):
            return None
        measurements = _decoder.decode_lines(data)
        if _is_utf_8(data) and _has_an_object_on_each_line(data, len(measurements)):
            return measurements
        return None

    def decode_line(self, line: bytes) -> dict[str, object]:
        """Decode one line to its fields by name.

        Raises:
            RecordError: It is not a JSON object.
        """
        # Python's own decoder reads NaN, Infinity and huge numbers, so the refusal can name
        # them. Integers are decoded as floats because they may have any number of digits.
        return decode_object(decode_text(line), parse_int=float)


def decode_object(
    text: str, *, parse_int: Callable[[str], object] | None = None
) -> dict[str, object]:
    """Decode a line that is a JSON object.

    Args:
        text: The line.
        parse_int: Reads integers; None for whole numbers of Python.

    Raises:
        RecordError: It is none.
    """
    try:
        record = json.loads(text, parse_int=parse_int)
    except (ValueError, RecursionError) as error:
        column = f" (column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise RecordError(Reason.MALFORMED, f"The line is not JSON{column}.") from error
    if not isinstance(record, dict):
        raise RecordError(Reason.MALFORMED, "The line is JSON but not an object with fields.")
    # Escapes can spell half a surrogate pair, which is no character and has no UTF-8.
    if "\\u" in text and any(_has_half_a_pair(value) for value in record.values()):
        raise RecordError(Reason.MALFORMED, "The line holds half a surrogate pair.")
    return record


def _has_half_a_pair(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_utf_8(data: bytes) -> bool:
    """Whether all bytes are UTF-8. The decoder checks only the fields that it knows."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_an_object_on_each_line(data: bytes, objects: int) -> bool:
    """Whether each line of a block has exactly one of the decoded objects.

    The decoder also accepts several objects on a line, an object over several lines, and blank
    lines. But a record's position in its file must not depend on what else is in the block.
    """
    # A line end between two braces cannot be inside an object. If all line ends are, each line
    # holds at least one object; with as many lines as objects, each holds exactly one.
    if not data.startswith(b"{"):
        return False
    text = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(text == _LINE_END)
    if len(ends) == 0 or ends[-1] != len(text) - 1:
        ends = np.append(ends, len(text))
    if len(ends) != objects:
        return False
    last = text[ends - 1]
    last = np.where(last == _RETURN, text[ends - 2], last)
    return bool((last == _CLOSES).all() and (text[ends[:-1] + 1] == _OPENS).all())
