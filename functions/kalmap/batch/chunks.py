"""Chunks: ranges of the input's objects, in bytes or rows, each read by one worker."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from kalmap.batch.identity import InputObject
from kalmap.records.formats import AnyFormat
from kalmap.records.table_format import ROW_BYTES, TableFormat

#: A gzipped object cannot be split, so it must fit into one worker.
#: tests/statemachine/test_memory.py compares these limits with the worker's memory.
MAX_GZIP_BYTES = 64 * 1024 * 1024
MAX_INFLATED_BYTES = 768 * 1024 * 1024
MAX_GZIP_LINES = 6_000_000
#: The longest range of an object that one worker reads. Only very large inputs need such ranges.
MAX_CHUNK_BYTES = 128 * 1024 * 1024
#: Small objects share a chunk. Together they have at most this size.
PACKED_BYTES = 4 * 1024 * 1024
#: Gzipped text inflates to about this many times its size.
GZIP_RATIO = 8
#: A chunk passes through the state machine, whose payloads have at most 256 KB.
_MAX_CHUNK_JSON = 64 * 1024


class SourceObject(InputObject, frozen=True, kw_only=True):
    """An input object, with what PlanBatch learned from its first bytes."""

    format: AnyFormat
    gzipped: bool = False

    def split(self, step: int) -> list[tuple[int, int]]:
        """Split the object into ranges [start, end) of about `step` bytes; none without records.

        A gzipped object is one range, because its bytes can only be read from their beginning.
        """
        if self.gzipped:
            return [(0, self.size)]
        return self.format.split(self.size, step)

    @property
    def weight(self) -> int:
        """About how many bytes of text its records have, for the worker that reads them."""
        whole = self.format.rows if isinstance(self.format, TableFormat) else self.size
        return self.weight_of(0, whole)

    def weight_of(self, start: int, end: int) -> int:
        """About how many bytes of text a range of it has."""
        if isinstance(self.format, TableFormat):
            return (end - start) * ROW_BYTES
        return (end - start) * (GZIP_RATIO if self.gzipped else 1)

    def planned(self) -> "SourceObject":
        """The object as its chunks hold it."""
        return msgspec.structs.replace(self, format=self.format.planned())


class Piece(NamedTuple):
    """The records of an object in [start, end)."""

    object: SourceObject
    start: int
    end: int


class Chunk(msgspec.Struct, frozen=True):
    """The records of an object in [start, end), then some small objects as a whole."""

    number: int = msgspec.field(name="chunk")
    object: SourceObject
    start: int
    end: int
    others: list[SourceObject] = []

    @property
    def pieces(self) -> list[Piece]:
        """What one worker reads, in the input's order."""
        first = Piece(self.object, self.start, self.end)
        return [first, *(Piece(source, *source.split(source.size)[0]) for source in self.others)]

    @property
    def weight(self) -> int:
        """About how many bytes of text it has."""
        return sum(source.weight_of(start, end) for source, start, end in self.pieces)


def split_into_chunks(objects: Sequence[SourceObject], chunk_bytes: int) -> list[Chunk]:
    """Split objects into chunks of about `chunk_bytes`, in the input's order.

    Small objects that lie next to each other become one chunk.
    """
    chunks: list[Chunk] = []
    # Small objects that still fit into the last chunk: bytes of content, and bytes of JSON.
    free_bytes = free_json = 0
    for source in objects:
        ranges = source.split(chunk_bytes)
        if not ranges:
            continue
        weight, source = source.weight, source.planned()  # noqa: PLW2901
        weight_json = len(msgspec.json.encode(source))
        if weight <= free_bytes and weight_json <= free_json:
            chunks[-1].others.append(source)
            free_bytes -= weight
            free_json -= weight_json
            continue
        free_bytes, free_json = 0, _MAX_CHUNK_JSON - weight_json
        if weight <= chunk_bytes:
            free_bytes = min(PACKED_BYTES, chunk_bytes) - weight
        chunks += [Chunk(number, source, *ends) for number, ends in enumerate(ranges, len(chunks))]
    return chunks
