"""Inflating: a gzipped object is read as gunzip reads it, within bounds checked on the way."""

import zlib
from collections.abc import Iterable, Iterator

from kalmap.batch.chunks import MAX_GZIP_BYTES, MAX_GZIP_LINES, MAX_INFLATED_BYTES
from kalmap.errors import InvalidInput
from kalmap.records.gzipped import MAGIC, is_gzipped, new_inflater

#: Measurements inflate to 4 to 40 times their gzipped size. Only repeated content, or content that
#: is made to do harm, exceeds this.
_MAX_RATIO = 250
#: Content up to this size may have any ratio, and may be one line.
_FREE_BYTES = 16 * 1024 * 1024
_STEP = 1 << 20


def check_gzip_size(name: str, size: int) -> None:
    """Check that a gzipped object is not too large for one worker.

    Raises:
        InvalidInput: It is too large.
    """
    if size > MAX_GZIP_BYTES:
        raise InvalidInput(
            f"{name} is gzipped and has {size:,} bytes; a gzipped object is read by one worker "
            f"and may have {MAX_GZIP_BYTES:,}. Split it, or upload it inflated."
        )


def inflate(
    parts: Iterable[bytes], name: str, notes: list[str] | None = None, *, any_size: bool = False
) -> Iterator[bytes]:
    """Inflate a gzipped object.

    Like gunzip, it reads several members as one, skips zeros after them, and ignores any other
    bytes that follow.

    Args:
        parts: The object's bytes, cut anywhere.
        name: The object's name, for sentences.
        notes: A sentence is added to it if bytes were ignored.
        any_size: Do not limit it to what one worker reads.

    Raises:
        InvalidInput: It is truncated, corrupt, or inflates to more than a worker reads.
    """
    inflater = new_inflater()
    read_bytes = inflated_bytes = lines = line_bytes = 0
    rest = b""
    try:
        for part in parts:
            read_bytes += len(part)
            rest += part
            while rest:
                if inflater.eof:
                    rest = rest.lstrip(b"\0")
                    if len(rest) < len(MAGIC):
                        break
                    if not is_gzipped(rest):
                        _note_trailing_bytes(name, notes)
                        return
                    inflater = new_inflater()
                data = inflater.decompress(rest, _STEP)
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                inflated_bytes += len(data)
                lines += data.count(b"\n")
                newline = data.rfind(b"\n")
                line_bytes = line_bytes + len(data) if newline < 0 else len(data) - newline
                if not any_size:
                    _check_size(name, inflated_bytes, lines)
                _check(name, read_bytes - len(rest), inflated_bytes, line_bytes)
                yield data
    except zlib.error as error:
        raise InvalidInput(f"{name} is corrupt: it cannot be inflated ({error}).") from error
    if not inflater.eof:
        raise InvalidInput(f"{name} is truncated: its gzip stream does not end.")
    if rest:
        _note_trailing_bytes(name, notes)


def _check_size(name: str, inflated_bytes: int, lines: int) -> None:
    if inflated_bytes > MAX_INFLATED_BYTES:
        raise InvalidInput(
            f"{name} inflates to more than {MAX_INFLATED_BYTES:,} bytes; split it, or upload it "
            "inflated."
        )
    if lines > MAX_GZIP_LINES:
        raise InvalidInput(
            f"{name} has more than {MAX_GZIP_LINES:,} lines, too many for the one worker that "
            "reads a gzipped object; split it, or upload it inflated."
        )


def _check(name: str, read_bytes: int, inflated_bytes: int, line_bytes: int) -> None:
    if inflated_bytes > max(_FREE_BYTES, _MAX_RATIO * read_bytes):
        raise InvalidInput(
            f"{name} inflates to more than {_MAX_RATIO} times its size, which measurements never "
            "do. If the file is correct, upload it inflated."
        )
    if line_bytes > _FREE_BYTES:
        raise InvalidInput(
            f"{name} has a line of more than {_FREE_BYTES:,} bytes: it is not JSONL or CSV, where "
            "each record is a line of its own."
        )


def _note_trailing_bytes(name: str, notes: list[str] | None) -> None:
    if notes is not None:
        notes.append(f"{name} has bytes behind its gzipped content, which were ignored.")
