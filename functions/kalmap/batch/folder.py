"""The batch's folder in the work bucket: the content of each object. `keys` has their names."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from kalmap import keys
from kalmap.batch.identity import Batch, InputObject, Pointer
from kalmap.results.report import Report, StepName
from kalmap.results.tally import from_json, to_json
from kalmap.results.totals import Totals
from kalmap.results.unreadable import Unreadable
from kalmap.store.objects import Objects, at_once
from kalmap.store.ports import Change, StoredState

_EXAMPLE_BYTES = 64 * 1024
T = TypeVar("T")


class PlanCounts(msgspec.Struct, frozen=True):
    """The numbers of chunks and shards: the part of `plan.json` that all versions have."""

    chunks: int
    shards: int


class Plan(PlanCounts, frozen=True):
    """How the input is cut: the content of `plan.json`."""

    files: list[list[str]]
    """The keys of each chunk's objects."""


class _EarlierBatch(msgspec.Struct, frozen=True):
    """The part of an earlier version's `batch.json` that `inputs.json` holds today."""

    objects: list[InputObject]


class Shard(msgspec.Struct, frozen=True):
    """A Map item: a shard, and the byte range of its slices' locations in `slices.bin`."""

    number: int = msgspec.field(name="shard")
    readings: int
    slices: tuple[int, int]


class Folder:
    """`batches/{batch_id}/{attempt}/` in the work bucket.

    Args:
        objects: The work bucket.
        prefix: The folder's key prefix, without a slash at the end.
    """

    def __init__(self, objects: Objects, prefix: str) -> None:
        self.objects = objects
        self.prefix = prefix

    @classmethod
    def of(cls, objects: Objects, pointer: Pointer) -> "Folder":
        """Return the folder that a pointer names."""
        return cls(objects, pointer.prefix)

    def key(self, name: str) -> str:
        """An object's whole key."""
        return f"{self.prefix}/{name}"

    # What the batch is, and how it was cut.

    def batch(self) -> Batch:
        """The identified batch."""
        return self.read("batch.json", Batch)

    def save_batch(self, batch: Batch, inputs: Sequence[InputObject]) -> None:
        """Store the identified batch, and its input objects, which may be many."""
        self.write("inputs.json", inputs)
        self.write("batch.json", batch)

    def inputs(self) -> list[InputObject]:
        """The batch's input objects, in their order."""
        data = self.objects.find(self.key("inputs.json"))
        if data is None:
            # Earlier versions stored them in batch.json.
            return self.read("batch.json", _EarlierBatch).objects
        return msgspec.json.decode(data, type=list[InputObject])

    def plan(self) -> Plan:
        """How the input is cut."""
        return self.read(keys.PLAN, Plan)

    def has_plan(self) -> bool:
        """Whether the plan is stored."""
        return self.objects.find(self.key(keys.PLAN)) is not None

    def plan_counts(self) -> PlanCounts:
        """The numbers of chunks and shards."""
        return self.read(keys.PLAN, PlanCounts)

    def partition_report_keys(self) -> list[str]:
        """The keys of the reports of chunks. `Partitions` reads and writes them."""
        stored = self.objects.keys(self.key(keys.PARTITIONS))
        # Each chunk has two files there: its slices and their report.
        return [key for key in stored if key.endswith(".report")]

    # Rounds.

    def save_shards(self, round_: int, shards: Sequence[Shard]) -> str:
        """Store a round's Map items; returns their key."""
        self.write(keys.shards(round_), shards)
        return self.key(keys.shards(round_))

    def has_shards(self, round_: int) -> bool:
        """Whether a round's Map items are stored."""
        return self.objects.find(self.key(keys.shards(round_))) is not None

    def shards(self, round_: int) -> list[Shard]:
        """A round's Map items."""
        return self.read(keys.shards(round_), list[Shard])

    def save_users(self, round_: int, shard: int, users: Iterable[str]) -> None:
        """Store which of a shard's users are in the next round."""
        self.write(self._users(round_, shard), sorted(users))

    def users(self, round_: int, shard: int) -> set[str] | None:
        """The users of a shard that are in this round; None for all, as in round 0."""
        if round_ == 0:
            return None
        return set(self.read(self._users(round_, shard), list[str]))

    def _users(self, round_: int, shard: int) -> str:
        return keys.in_round(round_, f"users/{shard:06d}.json")

    def save_snapshot(self, round_: int, shard: int, states: dict[str, StoredState]) -> None:
        """Store the states that a shard was loaded with."""
        self.objects.put(self._state(round_, shard, "loaded"), msgspec.msgpack.encode(states))

    def snapshot(self, round_: int, shard: int) -> dict[str, StoredState]:
        """The states that a shard was loaded with."""
        data = self.objects.get(self._state(round_, shard, "loaded"))
        return msgspec.msgpack.decode(data, type=dict[str, StoredState])

    def save_progress(self, round_: int, step: str, shard: int, progress: msgspec.Struct) -> None:
        """Store how far a step came before its time ended, for its next try."""
        self.objects.put(self._progress(round_, step, shard), msgspec.msgpack.encode(progress))

    def progress(self, round_: int, step: str, shard: int, kind: type[T]) -> T | None:
        """How far an earlier try of a step came; None if no earlier try has stored it."""
        data = self.objects.find(self._progress(round_, step, shard))
        return None if data is None else msgspec.msgpack.decode(data, type=kind)

    def _progress(self, round_: int, step: str, shard: int) -> str:
        return self.key(keys.in_round(round_, f"progress/{step}-{shard:06d}"))

    def save_changes(self, round_: int, shard: int, changes: Sequence[Change]) -> None:
        """Store the new states of a shard's changed users."""
        self.objects.put(self._state(round_, shard, "changed"), msgspec.msgpack.encode(changes))

    def changes(self, round_: int, shard: int) -> list[Change]:
        """The new states of a shard's changed users."""
        data = self.objects.get(self._state(round_, shard, "changed"))
        return msgspec.msgpack.decode(data, type=list[Change])

    def _state(self, round_: int, shard: int, kind: str) -> str:
        return self.key(keys.in_round(round_, f"states/{shard:06d}.{kind}"))

    def results_key(
        self, round_: int, shard: int, *, failed: bool = False, form: keys.Form = "jsonl"
    ) -> str:
        """The key of a shard's results, or of the `failed` ones that replace some of them."""
        return self.key(keys.results(round_, shard, failed=failed, form=form))

    def results_keys(self, round_: int, shard: int | None = None) -> Iterator[str]:
        """The keys of a round's results, of one shard or of all, in either form."""
        whole = keys.results_folder(round_)
        name = whole if shard is None else keys.results_of_shard(round_, shard)
        return (key for key in self.objects.keys(self.key(name)) if keys.results_file(key))

    def save_lines(self, kind: str, round_: int, shard: int, lines: bytes) -> None:
        """Store lines of `unreadable`, `failed` or `revisions`, if there are any."""
        if lines:
            self.objects.put(self.key(keys.lines(kind, round_, shard)), lines)

    def lines(self, kind: str, round_: int, shard: int) -> bytes:
        """A shard's stored lines of a kind; none if nothing is stored."""
        return self.objects.find(self.key(keys.lines(kind, round_, shard))) or b""

    def lines_keys(self, kind: str) -> Iterator[str]:
        """The keys of the lines of a kind."""
        return self._lines_below(keys.lines_folder(kind))

    def failed_objects(self) -> Iterator[dict[str, Any]]:
        """List the objects of the measurements that failed, as S3 lists them."""
        return self.objects.listing(self.key(keys.lines_folder("failed")))

    def _lines_below(self, name: str) -> Iterator[str]:
        return (key for key in self.objects.keys(self.key(name)) if key.endswith(".jsonl"))

    def unreadable_examples(self, round_: int, most: int = 3) -> list[Unreadable]:
        """Return some of a round's first unreadable records, each with a different fault."""
        decode = msgspec.json.Decoder(Unreadable).decode
        records: list[Unreadable] = []
        for key in islice(
            self.objects.keys(self.key(keys.lines_of_round("unreadable", round_))), most
        ):
            whole, _, _ = self.objects.get(key, 0, _EXAMPLE_BYTES).rpartition(b"\n")
            records += map(decode, whole.splitlines())
        records.sort(key=lambda record: record.index, reverse=True)
        first_of_each = {record.detail: record for record in records}.values()
        return sorted(first_of_each, key=lambda record: record.index)[:most]

    # Reports.

    def save_report(self, report: Report) -> None:
        """Store a step's report. Running the step again replaces it."""
        self.write(keys.report(report.round, report.step, report.number), report)

    def report(self, round_: int, step: str, number: int = 0) -> Report | None:
        """A step's report; None if it has not stored one."""
        data = self.objects.find(self.key(keys.report(round_, step, number)))
        return None if data is None else from_json(data, Report)

    def reports(self, round_: int, step: str = "") -> list[Report]:
        """A round's reports, of one step or of all."""
        return self.read_reports(
            key
            for name in keys.reports_folders(round_)
            for key in self.objects.keys(self.key(f"{name}{step}"))
        )

    def report_keys(self, round_: int, step: StepName) -> list[str]:
        """The keys of the reports that a step has stored so far, one for each finished shard."""
        return list(self.objects.keys(self.key(keys.reports_of_step(round_, step))))

    def read_reports(self, stored: Iterable[str]) -> list[Report]:
        """Read reports by their keys."""
        return [from_json(data, Report) for data in at_once(self.objects.get, list(stored))]

    def save_totals(self, round_: int, totals: Totals) -> None:
        """Store the sum of a round's reports."""
        self.write(keys.in_round(round_, "totals.json"), totals)

    def totals(self, round_: int) -> Totals:
        """The sum of a round's reports."""
        return self.read(keys.in_round(round_, "totals.json"), Totals)

    def has_totals(self) -> bool:
        """Whether the first round is summed up: all its results are stored, and states may be."""
        return self.objects.find(self.key(keys.in_round(0, "totals.json"))) is not None

    def rounds(self) -> int:
        """The number of rounds that have begun."""
        rounds = 0
        while any(True for _ in self.objects.keys(self.key(keys.in_round(rounds)))):
            rounds += 1
        return rounds

    def save_summary(self, summary: Mapping[str, object]) -> str:
        """Store the summary; returns its key."""
        content = msgspec.json.format(msgspec.json.encode(summary), indent=2)
        self.objects.put(self.summary_key(), content)
        return self.summary_key()

    def summary(self) -> bytes | None:
        """The stored summary; None if there is none."""
        return self.objects.find(self.summary_key())

    def summary_key(self) -> str:
        """The summary's key."""
        return self.key(keys.SUMMARY)

    def read(self, name: str, kind: type[T]) -> T:
        """The content of a file of JSON."""
        return from_json(self.objects.get(self.key(name)), kind)

    def write(self, name: str, content: object) -> None:
        """Store a file of JSON."""
        self.objects.put(self.key(name), to_json(content))
