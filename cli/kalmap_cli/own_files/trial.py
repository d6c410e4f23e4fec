"""A trial: samples of files parsed and folded in this process, without any stored state."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from kalmap import units
from kalmap.batch.commit_gate import closed_gate
from kalmap.batch.identity import Limits
from kalmap.filter.fold import fold_users
from kalmap.moments import iso, moment_at
from kalmap.outcome import Reason, Status
from kalmap.plural import counted
from kalmap.profile import Profile
from kalmap.readings import F64, Readings
from kalmap.records.measurement import RecordError, UnreadableRecord
from kalmap.records.parse import File, Parsed, parse_files
from kalmap.records.table_format import TableFormat
from kalmap.results.tally import Tally
from kalmap.results.totals import Totals
from kalmap.results.unreadable import Unreadable
from kalmap_cli.own_files.understand import Understood
from kalmap_cli.profile_tools import suggest

_ROWS = 3
_EXAMPLES = 3
#: Records of each file whose units are counted.
_UNITS_OF = 1000
#: Readings that are folded at most.
_MOST_FOLDED = 30_000
#: Of fewer readings, a share says little.
_ENOUGH = 200
_OFTEN = 0.05
_MOSTLY = 0.9


class Trial(NamedTuple):
    """What samples of files show."""

    whole: bool
    """Whether the samples are everything."""
    records: int
    estimated_records: int
    """Of the whole files."""
    first_rows: list[str]
    users: int
    span: tuple[str, str]
    units: dict[str | None, int]
    """Of the first records; None for those without a unit."""
    values: F64
    """In the profile's unit."""
    unreadable: int
    examples: list[str]
    rejected: dict[str, int]
    """By reason."""
    advice: list[str]
    refusal: str | None
    """Why a batch of these files would fail; None if it would not."""


class _Counted:
    """Counts the bytes of what the parser reads."""

    def __init__(self) -> None:
        self.bytes = 0.0

    def file(self, understood: Understood, file: File) -> File:
        # The parts of a table are rows.
        rows = understood.format.rows if isinstance(understood.format, TableFormat) else None
        each = understood.sample.size / max(1, rows) if rows is not None else 1.0
        return file._replace(parts=self._parts(file, each))

    def _parts(self, file: File, each: float) -> Iterator[Any]:
        for part in file.parts:
            self.bytes += len(part) * each
            yield part


def try_files(files: Sequence[Understood], profile: Profile, now: int) -> Trial:
    """Parse samples of files and fold them.

    Args:
        files: The files, in their order.
        profile: Unit, model and policy.
        now: Microseconds since 1970 UTC.

    Raises:
        InvalidInput: Far too many records are unreadable.
    """
    read = _Counted()
    pieces = [(file, piece) for file in files for piece in file.sample.files(file.format)]
    parsed = parse_files([read.file(*piece) for piece in pieces], profile)
    whole = all(file.sample.is_whole(file.format) for file in files)
    size = sum(file.sample.size for file in files)
    unreadable = [_unreadable(record, *pieces[record.file]) for record in parsed.unreadable]
    tally = _fold(parsed, profile, now)
    by_reason = tally.of_status(Status.REJECTED)
    named = _units(files)
    rejected = Counter({str(reason.label): count for reason, count in by_reason.items()})
    return Trial(
        whole=whole,
        records=parsed.records,
        estimated_records=(
            parsed.records if whole else round(parsed.records * size / max(1, read.bytes))
        ),
        first_rows=_first_rows(parsed, profile),
        users=len(parsed.users),
        span=_span(parsed),
        units=named,
        values=parsed.value,
        unreadable=len(unreadable),
        examples=[_sentence(record) for record in unreadable[:_EXAMPLES]],
        rejected=dict(rejected.most_common()),
        advice=_advice(parsed, rejected, named, profile),
        refusal=_refusal(parsed, tally, unreadable) if parsed.records or whole else None,
    )


def _fold(parsed: Parsed, profile: Profile, now: int) -> Tally:
    """Fold the first readings, each user from the beginning."""
    count = min(parsed.time.size, _MOST_FOLDED)
    sources = np.array([profile.source_code(name) for name in parsed.sources] or [0], np.uint8)
    folded = fold_users(
        profile,
        [None] * len(parsed.users),
        Readings(
            parsed.user[:count], parsed.time[:count], parsed.value[:count],
            sources[parsed.source[:count]], parsed.tag[:count], parsed.hash[:count],
            parsed.ordinal[:count],
        ),
        now,
    )  # fmt: skip
    tally = Tally()
    statuses, reasons = folded.decisions.status.tolist(), folded.decisions.reason.tolist()
    tally.update((Status(s), Reason(r)) for s, r in zip(statuses, reasons, strict=True))
    return tally


def _first_rows(parsed: Parsed, profile: Profile) -> list[str]:
    return [
        f"{parsed.users[user]}, {iso(moment_at(time))}, {value:g} {units.shown(profile.unit)}"
        for user, time, value in zip(
            parsed.user[:_ROWS].tolist(),
            parsed.time[:_ROWS].tolist(),
            parsed.value[:_ROWS].tolist(),
            strict=True,
        )
    ]


def _units(files: Sequence[Understood]) -> dict[str | None, int]:
    found: Counter[str | None] = Counter()
    for file in files:
        piece = next(iter(file.sample.files(file.format)), None)
        blocks = file.format.blocks(piece.parts) if piece else ()
        records = ((block, raw) for block in blocks for _, raw in block.records())
        for block, raw in islice(records, _UNITS_OF):
            with suppress(RecordError):
                found[block.measurement(raw).unit] += 1
    return dict(found.most_common())


def _span(parsed: Parsed) -> tuple[str, str]:
    if not parsed.time.size:
        return "", ""
    return iso(moment_at(int(parsed.time.min()))), iso(moment_at(int(parsed.time.max())))


def _unreadable(record: UnreadableRecord, file: Understood, piece: File) -> Unreadable:
    """A record with its file, and its line where that is known."""
    known = (
        file.sample.is_whole(file.format)
        or isinstance(file.format, TableFormat)
        or piece.first_line == file.format.header_lines
    )
    line = record.line if known else 0
    name = str(file.sample.file)
    return Unreadable(
        record.ordinal, name, line, record.reason.label, record.detail, record.excerpt
    )


def _sentence(record: Unreadable) -> str:
    where = f"{record.file} line {record.line}" if record.line else f"{record.excerpt[:60]!r}"
    return f"{where}: {record.detail}"


def _refusal(parsed: Parsed, tally: Tally, unreadable: Sequence[Unreadable]) -> str | None:
    if not parsed.records:
        return "The input has a header but no records."
    unread: Tally = Tally(
        Counter((Status.UNREADABLE, Reason(record.reason)) for record in parsed.unreadable)
    )
    unread.update(tally)
    totals = Totals(
        records=parsed.records, users=len(parsed.users), shards=1, first_shards=1, readings=unread
    )
    examples = [record for record in unreadable if record.line][:_EXAMPLES]
    return closed_gate(totals, Limits(), examples)


def _advice(
    parsed: Parsed, rejected: Counter[str], named: Iterable[str | None], profile: Profile
) -> list[str]:
    count = parsed.value.size
    often = {name: number for name, number in rejected.items() if number > _OFTEN * max(count, 1)}
    found = []
    if often.pop(str(Reason.IN_FUTURE.label), 0):
        found.append(
            "Many readings are in the future. Are their dates written otherwise (--dates), or does "
            "their clock have another time zone (--tz)?"
        )
    if not parsed.records:
        found.append("The sample has no record. They may be few in this file, or none.")
    for unit in sorted(
        {unit for unit in named if unit and not units.are_alike(unit, profile.unit)}
    ):
        fitting = suggest.fitting(unit)
        found.append(
            f"Readings in {unit} cannot be converted to {units.shown(profile.unit)}. "
            + (
                f"Built-in profiles for them: {suggest.listed(fitting)}. Name one, for example: "
                f"--profile {fitting[0]}."
                if fitting
                else "No built-in profile measures in it; `kalmap profiles new` makes one."
            )
        )
    out_of_range = rejected.get(str(Reason.OUT_OF_RANGE.label), 0)
    if out_of_range > _OFTEN * max(count, 1):
        low, high = profile.range
        its = units.shown(profile.unit)
        found.append(
            f"Many values are outside of {low:g} to {high:g} {its}, the range of {profile.name}. "
            "Is the unit right (--unit), or is another profile meant (--profile)? "
            f"`kalmap profiles` lists those that are built in.{_other_unit(parsed, profile)}"
        )
    elif often:
        found.append(
            f"{profile.name} rejects more than one reading in {round(1 / _OFTEN)}. Its numbers may "
            "not be those of these readings."
        )
    if count >= _ENOUGH and len(parsed.users) > 1:
        found.append(
            f"There are {counted(count, 'reading')} of {counted(len(parsed.users), 'user')}: "
            "enough for `kalmap tune FILE`, which fits a profile to them"
            + (", and that is advised here." if often else ".")
        )
    return found


def _other_unit(parsed: Parsed, profile: Profile) -> str:
    """A sentence about the unit in which most values would be in the range; empty if in none."""
    low, high = profile.range
    for unit in units.KNOWN:
        conversion = units.conversion(unit, profile.unit)
        if conversion is None or conversion.factor == 1.0:
            continue
        value = parsed.value * conversion.factor + conversion.offset
        if np.mean((value >= low) & (value <= high)) > _MOSTLY:
            return f" In {units.shown(unit)} they would be inside: --unit {units.shown(unit)}."
    return ""
