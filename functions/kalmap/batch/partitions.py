"""The partitioned input in a batch's folder: chunks, their slices, and the readings of shards.

Most steps need only the rest of the folder, which does without numpy.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalmap import keys
from kalmap.batch.chunks import Chunk
from kalmap.batch.folder import Folder, Plan, Shard
from kalmap.errors import InputNotFound
from kalmap.profile import Profile
from kalmap.records.shards import (
    CHUNK_START,
    SLICE_LOCATION,
    PartitionReport,
    ShardInput,
    assemble,
)
from kalmap.store.objects import at_once


class Partitions:
    """The partitioned input of a batch.

    Args:
        folder: The batch's folder.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def save_plan(self, plan: Plan, chunks: Sequence[Chunk]) -> str:
        """Store the plan and the chunks; returns the key of the Map's items."""
        self._folder.write("chunks.json", chunks)
        self._folder.write(keys.PLAN, plan)
        return self._folder.key("chunks.json")

    def chunks(self) -> list[Chunk]:
        """The input's chunks."""
        return self._folder.read("chunks.json", list[Chunk])

    def save(self, data: bytes, report: PartitionReport) -> None:
        """Store a chunk's slices and the report with their lengths."""
        self._folder.objects.put(self._partition(report.chunk), data)
        self._folder.objects.put(
            self._folder.key(keys.partition_report(report.chunk)), msgspec.msgpack.encode(report)
        )

    def report(self, chunk: int) -> PartitionReport | None:
        """A chunk's report; None if the chunk failed and its failure could not be recorded."""
        data = self._folder.objects.find(self._folder.key(keys.partition_report(chunk)))
        return None if data is None else msgspec.msgpack.decode(data, type=PartitionReport)

    def read_reports(self, stored: Iterable[str]) -> list[PartitionReport]:
        """Read reports of chunks by their keys."""
        decode = msgspec.msgpack.Decoder(PartitionReport).decode
        return [decode(data) for data in at_once(self._folder.objects.get, list(stored))]

    def is_whole(self, chunk: int) -> bool:
        """Whether all slices of a chunk are stored."""
        report = self.report(chunk)
        return report is not None and self._size(self._partition(chunk)) == sum(report.lengths)

    def save_slices(
        self, starts: bytes, locations: bytearray, ends: Sequence[int], counts: Sequence[int]
    ) -> list[Shard]:
        """Store where chunks start and slices are; returns the shards that have readings."""
        self._folder.objects.put(self._folder.key("starts.bin"), starts)
        self._folder.objects.put(self._folder.key("slices.bin"), locations)
        return [
            Shard(number, count, (start, end))
            for number, (start, end, count) in enumerate(
                zip([0, *ends[:-1]], ends, counts, strict=True)
            )
            if count
        ]

    def has_slices(self, shard: Shard) -> bool:
        """Whether the locations of a shard's slices are stored."""
        return (
            self._size(self._folder.key("slices.bin")) >= shard.slices[1]
            and self._size(self._folder.key("starts.bin")) >= 0
        )

    def shard_input(
        self, shard: Shard, profile: Profile, only_users: set[str] | None
    ) -> ShardInput:
        """A shard's readings, from all chunks."""
        locations = np.frombuffer(
            self._folder.objects.get(self._folder.key("slices.bin"), *shard.slices), SLICE_LOCATION
        ).tolist()
        starts = self.chunk_starts()
        slices = at_once(
            lambda location: self._folder.objects.get(
                self._partition(location[0]), location[1], location[1] + location[2]
            ),
            locations,
        )
        return assemble(
            [
                (chunk, *starts[chunk].tolist(), data)
                for (chunk, _, _), data in zip(locations, slices, strict=True)
            ],
            profile,
            only_users,
        )

    def chunk_starts(self) -> NDArray[np.void]:
        """Where each chunk begins in the batch's input: CHUNK_STARTs."""
        return np.frombuffer(self._folder.objects.get(self._folder.key("starts.bin")), CHUNK_START)

    def _partition(self, chunk: int) -> str:
        return self._folder.key(keys.partition(chunk))

    def _size(self, key: str) -> int:
        """The size of an object in bytes; -1 if there is none."""
        try:
            return int(self._folder.objects.head(key)["ContentLength"])
        except InputNotFound:
            return -1
