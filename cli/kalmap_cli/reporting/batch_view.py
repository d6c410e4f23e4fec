"""What a batch says: its record, summary, execution, tasks, readings and users, from the cloud."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from kalmap.batch.folder import Folder, Shard
from kalmap.batch.partitions import Partitions
from kalmap.errors import InputNotFound
from kalmap.profile import Profile
from kalmap.readings import I64
from kalmap.store.ports import BatchRecord
from kalmap_cli.deployment import Deployment
from kalmap_cli.file_names import FileNames
from kalmap_cli.option_names import with_option_names
from kalmap_cli.reporting.calibration import Calibration, calibration_of
from kalmap_cli.reporting.execution_view import ExecutionView, view_execution
from kalmap_cli.reporting.people import People, people_of
from kalmap_cli.reporting.sample import Sample, read_sample
from kalmap_cli.reporting.timeline import Timeline, timeline_of

_NO_SOURCE = "no source"
#: Sources that are named; the others are counted together.
_MOST_SOURCES = 8
_OTHER_SOURCES = "other sources"
#: Bars over time.
_MOST_BARS = 24


class Count(NamedTuple):
    """Readings of a place or time that one decision was made about."""

    place: str
    status: str
    reason: str | None
    readings: int


class BatchView(NamedTuple):
    """All that a report shows."""

    record: BatchRecord
    reason: str
    """Why it failed, in words of the command line; empty if it did not."""
    summary: dict[str, Any]
    """Empty if the batch has none: it runs, or was stopped."""
    profile: Profile | None
    """None if the batch's folder is gone."""
    execution: ExecutionView | None
    """None if the execution is not known any more."""
    timeline: Timeline
    sample: Sample | None
    """None if the batch has no results."""
    people: People | None
    calibration: Calibration | None
    by_source: list[Count]
    over_time: list[Count]
    options: str
    """Options that make another command use the same deployment, with a space before each."""


def view_batch(deployment: Deployment, record: BatchRecord) -> BatchView:
    """Gather what a batch says."""
    objects = deployment.objects
    folder = Folder(objects, record.prefix)
    summary = folder.summary()
    sample = read_sample(folder)
    profile = _profile(folder)
    names = FileNames(objects)
    return BatchView(
        record,
        with_option_names(names.replace_keys(record.reason or "")),
        names.decode_summary(summary) if summary else {},
        profile,
        view_execution(deployment.clients, record.execution_arn) if record.execution_arn else None,
        timeline_of(folder),
        sample,
        people_of(sample, folder, profile) if sample and profile else None,
        calibration_of(sample) if sample else None,
        _by_source(sample, folder, profile) if sample and profile else [],
        over_time(sample) if sample else [],
        deployment.options,
    )


def _profile(folder: Folder) -> Profile | None:
    try:
        return folder.batch().profile
    except InputNotFound:
        return None


def _by_source(sample: Sample, folder: Folder, profile: Profile) -> list[Count]:
    """Count readings by source and decision; nothing if the parsed input is gone."""
    shards = {shard.number: shard for shard in folder.shards(0)}
    try:
        parts = list(_sources(folder, profile, [shards[number] for number in sample.shards]))
    except InputNotFound:
        return []
    names: dict[str, int] = {}
    code = np.full(int(sample.position.max(initial=-1)) + 1, -1, np.int64)
    for index, sources in parts:
        codes = [names.setdefault(name or _NO_SOURCE, len(names)) for name in sources]
        known = index < code.size
        code[index[known]] = np.array(codes, np.int64)[known]
    source = code[sample.position]
    counted = source >= 0
    pairs, counts = np.unique(source[counted] * 256 + sample.decision[counted], return_counts=True)
    return _named(
        [
            (list(names)[pair >> 8], pair & 255, n)
            for pair, n in zip(pairs.tolist(), counts.tolist(), strict=True)
        ],
        sample,
    )


def _sources(
    folder: Folder, profile: Profile, shards: list[Shard]
) -> Iterator[tuple[I64, list[str | None]]]:
    """Of each shard: the indexes of its readings, and their sources."""
    for shard in shards:
        read = Partitions(folder).shard_input(shard, profile, None)
        yield read.readings.index, read.sources


def _named(counts: list[tuple[str, int, int]], sample: Sample) -> list[Count]:
    """Counts with their decisions by name; the sources with few readings together."""
    totals: dict[str, int] = {}
    for place, _, count in counts:
        totals[place] = totals.get(place, 0) + count
    named = set(sorted(totals, key=lambda place: -totals[place])[:_MOST_SOURCES])
    summed: dict[tuple[str, int], int] = {}
    for place, decision, count in counts:
        key = (place if place in named else _OTHER_SOURCES, decision)
        summed[key] = summed.get(key, 0) + count
    return [
        _count(sample, place, decision, count)
        for (place, decision), count in sorted(summed.items(), key=lambda item: -item[1])
    ]


def over_time(sample: Sample) -> list[Count]:
    """Count readings by day, or by spans of several days, and decision.

    The spans cover the accepted readings. A reading that claims another century would make all
    others one bar.
    """
    days = sample.time.astype("datetime64[D]")
    accepted = days[sample.of_status("accepted")]
    if not accepted.size:
        return []
    first, last = accepted.min(), accepted.max()
    span = -(-(int((last - first) // np.timedelta64(1, "D")) + 1) // _MOST_BARS)
    inside = (days >= first) & (days <= last)
    bar = (days[inside] - first).astype(np.int64) // span
    pairs, counts = np.unique(bar * 256 + sample.decision[inside], return_counts=True)
    return [
        _count(sample, str(first + (pair >> 8) * span), pair & 255, count)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True)
    ]


def _count(sample: Sample, place: str, decision: int, readings: int) -> Count:
    status, reason = sample.decisions[decision]
    return Count(place, status, reason, readings)
