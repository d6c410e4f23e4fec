"""Inflating: a gzipped object as gunzip reads it, within bounds that hold while it is read."""

import zlib
from collections.abc import Iterable, Iterator

from kalmap.batch.chunks import MAX_GZIP_BYTES, MAX_GZIP_LINES, MAX_INFLATED_BYTES
from kalmap.errors import InvalidInput
from kalmap.records.gzipped import MAGIC, is_gzipped, new_inflater

#: Measurements inflate to 4 to 40 times their gzipped size; only what was made to swell, or says
#: the same again and again, to more than this.
_MAX_RATIO = 250
#: So much may be of any ratio, and of one line.
_FREE_BYTES = 16 * 1024 * 1024
_STEP = 1 << 20


def check_gzip_size(name: str, size: int) -> None:
    """Refuse a gzipped object that is too large for one worker.

    Raises:
        InvalidInput: It is.
    """
    if size > MAX_GZIP_BYTES:
        raise InvalidInput(
            f"{name} is gzipped and has {size:,} bytes; a gzipped object is read by one worker "
            f"and may have {MAX_GZIP_BYTES:,}. Split it, or upload it inflated."
        )


def inflated(parts: Iterable[bytes], name: str, notes: list[str] | None = None) -> Iterator[bytes]:
    """Inflate a gzipped object.

    Like gunzip it reads several members as one, skips zeros behind them, and ignores what else
    follows.

    Args:
        parts: The object's bytes, cut anywhere.
        name: The object's, for sentences.
        notes: Gets a sentence where something was ignored.

    Raises:
        InvalidInput: It is truncated, corrupt, or swells beyond what a worker reads.
    """
    inflater = new_inflater()
    taken = total = lines = line = 0
    rest = b""
    try:
        for part in parts:
            taken += len(part)
            rest += part
            while rest:
                if inflater.eof:
                    rest = rest.lstrip(b"\0")
                    if len(rest) < len(MAGIC):
                        break
                    if not is_gzipped(rest):
                        _tell_of_garbage(name, notes)
                        return
                    inflater = new_inflater()
                data = inflater.decompress(rest, _STEP)
                rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
                total += len(data)
                lines += data.count(b"\n")
                line = line + len(data) if b"\n" not in data else len(data) - data.rfind(b"\n")
                _check(name, taken - len(rest), total, lines, line)
                yield data
    except zlib.error as error:
        raise InvalidInput(f"{name} is corrupt: it cannot be inflated ({error}).") from error
    if not inflater.eof:
        raise InvalidInput(f"{name} is truncated: its gzip stream does not end.")
    if rest:
        _tell_of_garbage(name, notes)


def _check(name: str, taken: int, total: int, lines: int, line: int) -> None:
    if total > MAX_INFLATED_BYTES:
        raise InvalidInput(
            f"{name} inflates to more than {MAX_INFLATED_BYTES:,} bytes; split it, or upload it "
            "inflated."
        )
    if total > max(_FREE_BYTES, _MAX_RATIO * taken):
        raise InvalidInput(
            f"{name} inflates to more than {_MAX_RATIO} times its size, which measurements never "
            "do. If it is sound all the same, upload it inflated."
        )
    if lines > MAX_GZIP_LINES:
        raise InvalidInput(
            f"{name} has more than {MAX_GZIP_LINES:,} lines, too many for the one worker that "
            "reads a gzipped object; split it, or upload it inflated."
        )
    if line > _FREE_BYTES:
        raise InvalidInput(
            f"{name} has a line of more than {_FREE_BYTES:,} bytes: it is not JSONL or CSV, where "
            "each record stands on a line of its own."
        )


def _tell_of_garbage(name: str, notes: list[str] | None) -> None:
    if notes is not None:
        notes.append(f"{name} has bytes behind its gzipped content, which were ignored.")
