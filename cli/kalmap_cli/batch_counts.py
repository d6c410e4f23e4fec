"""How far a batch is, and what was decided so far, from what its steps have stored."""

import contextlib
from typing import NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from kalmap import keys
from kalmap.batch.chunks import Chunk
from kalmap.batch.folder import Folder
from kalmap.batch.partitions import Partitions
from kalmap.errors import KalmapError
from kalmap.outcome import Status
from kalmap.results.report import MAP_STEPS, STATES, StepName
from kalmap.results.tally import Tally
from kalmap_cli.execution import Progress
from kalmap_cli.usual_speed import UsualSpeed

#: The steps of the states that are Maps.
_STEPS: dict[str, StepName] = {STATES[step]: step for step in MAP_STEPS}


class BatchCounts(NamedTuple):
    """What the present state of a batch has done."""

    readings: int
    """Readings of the chunks or shards that are done."""
    share: float
    """The part of the state's work that is done, 0 to 1: of bytes in PartitionMeasurements, of
    readings in other states."""
    total: int | None
    """Readings of the whole batch; None until all chunks are parsed."""
    decisions: Tally
    """What the filter has decided so far about the readings of this batch."""
    usual_seconds: float | None = None
    """How long an earlier batch would have taken for all of the state's work; None if that is not
    known."""

    def of_status(self, status: Status) -> int:
        """How many readings have this status so far."""
        return sum(self.decisions.of_status(status).values())


class BatchCounter:
    """Counts what a running batch has done. Each report is read once.

    Args:
        folder: The batch's folder.
        usual: The speed of an earlier batch, if there is one.
    """

    def __init__(self, folder: Folder, usual: UsualSpeed | None = None) -> None:
        self._folder = folder
        self._usual = usual
        self._partitions = Partitions(folder)
        self._chunks: dict[int, Chunk] = {}
        self._parsed: dict[int, int] = {}
        self._round = -1
        self._shards: dict[int, int] = {}
        self._counted: set[str] = set()
        self._decisions = Tally()
        self._total: int | None = None
        self._event: int | None = None
        self._latest: tuple[Progress, BatchCounts | None] | None = None

    def count(self, progress: Progress) -> BatchCounts | None:
        """Count what the state that the batch is in has done.

        Returns:
            The counts; None for a state that works on the batch as a whole.
        """
        if self._latest is None or self._latest[0] != progress:
            counts = None
            # A batch runs on when its progress cannot be told.
            with contextlib.suppress(KalmapError, BotoCoreError, ClientError, msgspec.DecodeError):
                counts = self._count(progress)
            self._latest = progress, counts
        return self._latest[1]

    def _count(self, progress: Progress) -> BatchCounts | None:
        step = _STEPS.get(progress.state)
        if step is None:
            return None
        if step == "partition":
            return self._count_chunks()
        if step == "load" and progress.event != self._event:
            self._event = progress.event
            self._begin_round()
        return self._count_shards(step)

    def _count_chunks(self) -> BatchCounts:
        if not self._chunks:
            self._chunks = {chunk.number: chunk for chunk in self._partitions.chunks()}
        new = [key for key in self._folder.partition_report_keys() if key not in self._counted]
        for report in self._partitions.read_reports(new):
            self._parsed[report.chunk] = report.records
        self._counted.update(new)
        done = sum(self._chunks[number].weight for number in self._parsed)
        whole = sum(chunk.weight for chunk in self._chunks.values())
        readings = sum(self._parsed.values())
        usual = self._usual and self._usual.seconds_of("partition", whole)
        return BatchCounts(readings, done / max(1, whole), None, Tally(), usual)

    def _begin_round(self) -> None:
        self._round += 1
        self._shards = {shard.number: shard.readings for shard in self._folder.shards(self._round)}
        if self._total is None:
            self._total = sum(self._shards.values())

    def _count_shards(self, step: StepName) -> BatchCounts:
        if self._round < 0:
            # A command that begins to watch in the middle of a batch.
            self._round = max(0, self._folder.rounds() - 1) - 1
            self._begin_round()
        stored = self._folder.report_keys(self._round, step)
        if step == "filter":
            new = [key for key in stored if key not in self._counted]
            for report in self._folder.read_reports(new):
                self._decisions.update(report.readings)
                self._decisions.subtract(report.superseded)
            self._counted.update(new)
        done = sum(self._shards.get(keys.report_number(key), 0) for key in stored)
        whole = sum(self._shards.values())
        usual = self._usual and self._usual.seconds_of(step, whole)
        return BatchCounts(done, done / max(1, whole), self._total, self._decisions, usual)
