"""Chunks: the input's objects cut into byte ranges that one worker reads each."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from kalmap.records.measurement import MAX_LINE_BYTES

#: A gzipped object cannot be cut, so it must fit into one worker: tests/statemachine/test_memory.py
#: holds these against the memory that the template gives it.
MAX_GZIP_BYTES = 64 * 1024 * 1024
MAX_INFLATED_BYTES = 768 * 1024 * 1024
MAX_GZIP_LINES = 6_000_000
#: What one worker reads of an object that can be cut, where the input is very large.
MAX_CHUNK_BYTES = 128 * 1024 * 1024
#: Objects up to this size share a chunk, together up to this size, too.
PACKED_BYTES = 4 * 1024 * 1024
#: What gzipped text inflates to, roughly.
GZIP_RATIO = 8
#: A chunk travels through the state machine, whose payloads have at most 256 KB.
_MAX_CHUNK_JSON = 64 * 1024


class SourceObject(msgspec.Struct, frozen=True):
    """An input object, with what PlanBatch learned from its first bytes."""

    bucket: str
    key: str
    size: int
    etag: str
    version_id: str | None = None
    columns: list[str] | None = None
    """CSV column names; None for JSONL."""
    body_start: int = 0
    """Where the records begin, in inflated bytes: behind a CSV header."""
    header_lines: int = 0
    gzipped: bool = False


class Piece(NamedTuple):
    """The lines of an object that begin in [start, end)."""

    object: SourceObject
    start: int
    end: int


class Chunk(msgspec.Struct, frozen=True):
    """The lines of an object that begin in [start, end), and small objects that follow it whole."""

    chunk: int
    object: SourceObject
    start: int
    end: int
    others: list[SourceObject] = []

    @property
    def pieces(self) -> list[Piece]:
        """What one worker reads, in the input's order."""
        first = Piece(self.object, self.start, self.end)
        return [first, *(Piece(source, _start(source), source.size) for source in self.others)]


def cut(objects: Sequence[SourceObject], chunk_bytes: int) -> list[Chunk]:
    """Cut objects into chunks of about `chunk_bytes`, in the input's order.

    Small objects that lie next to each other are one chunk together.
    """
    chunks: list[Chunk] = []
    # Room that is left in the last chunk for small objects: their bytes, and their JSON's.
    room = room_json = 0
    for source in objects:
        start = _start(source)
        if start >= source.size:
            continue
        weight = source.size * (GZIP_RATIO if source.gzipped else 1)
        weight_json = len(msgspec.json.encode(source))
        if weight <= room and weight_json <= room_json:
            chunks[-1].others.append(source)
            room -= weight
            room_json -= weight_json
            continue
        room, room_json = 0, _MAX_CHUNK_JSON - weight_json
        if weight <= chunk_bytes:
            room = min(PACKED_BYTES, chunk_bytes) - weight
        step = source.size if source.gzipped else chunk_bytes
        while start < source.size:
            end = min(start + step, source.size)
            if source.size - end < step // 4:  # no tiny last chunk
                end = source.size
            chunks.append(Chunk(len(chunks), source, start, end))
            start = end
    return chunks


def _start(source: SourceObject) -> int:
    return 0 if source.gzipped else source.body_start


def owned_lines(piece: Piece, read: Callable[[int, int], bytes]) -> bytes:
    """The whole lines that begin inside a piece of an object that is not gzipped.

    Args:
        piece: Its byte range.
        read: Gives the object's bytes [start, end); fewer at the object's end.
    """
    source = piece.object
    first = piece.start
    if first > source.body_start:
        first -= 1  # the byte before tells whether a line begins exactly at the start
    data = read(first, min(piece.end + MAX_LINE_BYTES, source.size))
    begin = 0
    if piece.start > source.body_start:
        newline = data.find(b"\n", 0, piece.end - first)
        if newline < 0 or first + newline + 1 >= piece.end:
            return b""  # the whole piece lies inside a line that began before it
        begin = newline + 1
    # The last line that begins here ends at the first newline at or behind the last byte.
    end = data.find(b"\n", piece.end - first - 1)
    # Without one, the line is longer than any that is read: what is there shows that.
    return data[begin:] if end < 0 else data[begin : end + 1]
