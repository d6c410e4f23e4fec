"""Blocks: whole lines of the input, as many as are read at once, and what they look like."""

from collections.abc import Iterable, Iterator

import numpy as np

from kalmap.records.formats import BOM
from kalmap.records.measurement import MAX_LINE_BYTES

_LINE_END, _RETURN, _OPENS, _CLOSES = b"\n\r{}"
_BLOCK_BYTES = 512 * 1024


def blocks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Cut into blocks of whole lines, so that few objects are alive at once."""
    rest = b""
    for part in parts:
        data = rest + part
        start = 0
        while (end := data.rfind(b"\n", start, start + _BLOCK_BYTES) + 1) or (
            end := data.find(b"\n", start) + 1
        ):
            yield _unmarked(data[start:end])
            start = end
        # What is longer than any line that is read need not be kept to be refused.
        rest = data[start:][: MAX_LINE_BYTES + 1]
    if rest:
        yield _unmarked(rest)


def _unmarked(block: bytes) -> bytes:
    """Without byte order marks where lines begin.

    Only a file's first line should have one. But files are put together by programs that know
    nothing of it, and no reading may depend on whether its line is a chunk's first.
    """
    if BOM not in block:
        return block
    return block.removeprefix(BOM).replace(b"\n" + BOM, b"\n")


def is_text(block: bytes) -> bool:
    """Whether a block is UTF-8 throughout; the decoder looks at the fields it knows only."""
    if block.isascii():
        return True
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_a_line_each(block: bytes, objects: int) -> bool:
    """Whether the objects that a block was decoded to stand one on each line.

    The decoder takes several on a line, one over several lines, and blank lines, too; a record's
    place in its file, and so its meaning, must not depend on what else is in the block.
    """
    # A line end between two braces cannot be inside of an object. Where all are, each line holds
    # at least one object; where there are as many lines as objects, each holds one.
    if not block.startswith(b"{"):
        return False
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == _LINE_END)
    if len(ends) == 0 or ends[-1] != len(text) - 1:
        ends = np.append(ends, len(text))
    if len(ends) != objects:
        return False
    last = text[ends - 1]
    last = np.where(last == _RETURN, text[ends - 2], last)
    return bool((last == _CLOSES).all() and (text[ends[:-1] + 1] == _OPENS).all())


def may_hold_a_long_line(block: bytes) -> bool:
    """Whether a line may be longer than any that is read."""
    # A look every MAX_LINE_BYTES / 2 for a line end nearby is cheaper than splitting.
    half = MAX_LINE_BYTES // 2
    return any(
        block.find(b"\n", start, start + half) < 0 for start in range(0, len(block) - half, half)
    )
