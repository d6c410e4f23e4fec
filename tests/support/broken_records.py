"""Broken and odd lines, and what must hold for each of them.

Every line is exactly one record: valid, or unreadable with a reason. A line means the same alone
and among others. A valid record has a finite value and a name. It can be sent to a shard, folded,
stored in the table, written as a result line, and sent again as if it had failed. Hypothesis draws
the blocks. Each block makes its lines from its seed, by breaking and mixing sound ones.
"""

import contextlib
import json
import random
from collections.abc import Callable

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kalmap.errors import UnknownFormat
from kalmap.filter.fold import fold_users
from kalmap.moments import EARLIEST, LATEST
from kalmap.outcome import Reason
from kalmap.profile import builtin_profile
from kalmap.records.format_csv import Csv, column_names
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.format_mapped import Mapped
from kalmap.records.formats import AnyFormat, detect_format
from kalmap.records.gzipped import inflate_head
from kalmap.records.mapping import Dates, Layout, Mapping
from kalmap.records.measurement import MAX_ID_BYTES
from kalmap.records.parse import Parsed, parse
from kalmap.records.shards import assemble, route
from kalmap.results.changes import changes
from kalmap.results.lines import encode, encode_measurements, encode_unreadable
from kalmap.store.dynamodb.item import key, user_state, values

LINES_PER_BLOCK = 500
PROFILE = builtin_profile("body-weight")
SOUND = {
    "user_id": "u-17",
    "timestamp": "2026-03-01T07:12:00+01:00",
    "value": 81.4,
    "unit": "kg",
    "source": "scale",
    "measurement_id": "m-9",
}
COLUMNS = tuple(SOUND)
REASONS = {
    Reason.MALFORMED, Reason.MISSING_FIELD, Reason.BAD_TIMESTAMP, Reason.BAD_VALUE,
    Reason.UNKNOWN_UNIT,
}  # fmt: skip
ODD = [
    None, True, False, 0, -0.0, 1, -1, 2**63, -(2**63), 10**400, 1e308, -1e308, 5e-324, 1e-400,
    "", " ", "\x00", "\u2028", "\ud800", "ü", "👩‍🔬", "x" * 128, "x" * 129, "ü" * 65, "NaN",
    "Infinity", "1e999", "null", [], {}, [1], {"a": 1}, "2026-02-30T00:00:00Z", "2026-03-01",
    "2026-03-01T07:12:00", "1" * 5000, 10**4200,
    "2026-03-01T24:00:00Z", "2026-03-01T07:12:60Z", "2026-03-01 07:12:00Z", "lb", "KG", "stone",
    "g", "mmol/l", "\n", "\r\n", "\t", '"', "\\", ",", "\ufeff",
]  # fmt: skip
TOKENS = [b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\\u", b"\xff", b"\x00", b"\xc3",
          b"\xed\xa0\x80", b"NaN", b"-Infinity", b"1e999", b"//", b"\xef\xbb\xbf", b"\r", b" ",
          b"nul", b"0x1", b"--1", b"\\ud800", b"\x1f\x8b"]  # fmt: skip


def odd(field: str, chance: random.Random) -> object:
    """An odd value for a field."""
    if field == "timestamp" and chance.random() < 0.7:
        return odd_timestamp(chance)
    return chance.choice(ODD)


def odd_timestamp(chance: random.Random) -> str:
    """A time near an end of the calendar or of a range of numbers, with any offset."""
    near = chance.choice((EARLIEST, LATEST, 0, 2**32 * 10**6, -(2**31) * 10**6, 2**53, -(2**53)))
    moment = near + chance.choice((0, 1, -1, 10**6, chance.randrange(-(10**11), 10**11)))
    text = str(np.datetime64(min(max(moment, EARLIEST), LATEST), "us"))
    if chance.random() < 0.2:
        text = text.partition(".")[0] + "." + str(chance.randrange(10 ** chance.choice((1, 7, 30))))
    basic = text.replace("-", "").replace(":", "")
    text = chance.choice(
        (text, text, basic, text.replace("T", " "), text.replace(".", ","), text[:16])
    )
    sign, hours, minutes = chance.choice("+-"), chance.randrange(24), chance.randrange(60)
    return text + chance.choice(
        (
            "Z",
            f"{sign}{hours:02}:{minutes:02}",
            "+23:59",
            "-23:59",
            "z",
            " +0100",
            f"{sign}{hours:02}",
        )
    )


def json_line(chance: random.Random) -> bytes:
    """A record with odd fields, as JSON."""
    record = dict(SOUND)
    for _ in range(chance.choice((0, 0, 1, 1, 2, 6))):
        field = chance.choice((*SOUND, "extra", ""))
        if chance.random() < 0.3:
            record.pop(field, None)
        else:
            record[field] = odd(field, chance)
    value = record if chance.random() < 0.95 else chance.choice(ODD)
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode(errors="surrogatepass")


def csv_line(chance: random.Random) -> bytes:
    """A record with odd cells, as CSV."""
    cells = [str(value) for value in SOUND.values()]
    for _ in range(chance.choice((0, 1, 2))):
        column = chance.randrange(len(cells))
        cells[column] = str(odd(COLUMNS[column], chance))
    if chance.random() < 0.1:
        cells = cells[: chance.randrange(len(cells) + 1)] * chance.choice((1, 2))
    return ",".join(cells).encode(errors="surrogatepass")


def mapping(layout: Layout, dates: Dates = "iso") -> Mapping:
    """A mapping that reads sound lines."""
    return Mapping(
        columns={name: name for name in COLUMNS}, layout=layout, dates=dates, tz="Europe/Berlin"
    )


def broken(line: bytes, chance: random.Random) -> bytes:
    """A line with bytes changed, cut, doubled, or mixed with tokens."""
    for _ in range(chance.choice((0, 0, 1, 1, 2, 8))):
        at = chance.randrange(len(line) + 1)
        to = min(len(line), at + chance.choice((0, 1, 1, 3, 20)))
        what = chance.choice(
            (b"", bytes([chance.randrange(256)]), chance.choice(TOKENS), line[:at])
        )
        line = line[:at] + what + line[to:]
    # Where a line ends is another question than what is in it.
    return line.replace(b"\n", b" ")[:70_000]


def check(lines: list[bytes], format_: AnyFormat) -> int:
    """Parse a block, whole and line by line; returns the number of its records."""
    parsed = parse([b"\n".join(lines)], format_, PROFILE)
    sound(parsed)
    goes_through(parsed)
    expected: list[tuple[bytes, object]] = []
    for line in lines:
        alone = parse([line], format_, PROFILE)
        sound(alone)
        expected += [(line, outcome) for outcome in decisions(alone)]
    actual, in_cell = decisions(parsed), in_open_cells(parsed)
    assert not in_cell or any(line.count(b'"') % 2 for line in lines)
    for ordinal, ((line, outcome), other) in enumerate(zip(expected, actual, strict=False)):
        assert outcome == other or ordinal in in_cell, line
    assert len(actual) == len(expected)
    return parsed.records


def decisions(parsed: Parsed) -> list[object]:
    """The outcome of each record, in order: its value and key, or why it could not be read."""
    rows = zip(
        parsed.ordinal.tolist(),
        parsed.value.tolist(),
        parsed.time.tolist(),
        parsed.hash.tolist(),
        strict=True,
    )
    by_ordinal: dict[int, object] = {ordinal: tuple(rest) for ordinal, *rest in rows}
    by_ordinal |= {record.ordinal: record.reason for record in parsed.unreadable}
    return [by_ordinal[ordinal] for ordinal in sorted(by_ordinal)]


def in_open_cells(parsed: Parsed) -> set[int]:
    """The ordinals of records that are refused since a quote before them is open."""
    return {record.ordinal for record in parsed.unreadable if "open quote" in record.detail}


def goes_through(parsed: Parsed) -> None:
    """Check that all that was read can be routed, folded, stored, reported and sent again."""
    slices, report = route(parsed, 0, 1)
    if not report.counts[0]:
        return
    shard = assemble([(0, 0, 0, slices)], PROFILE)
    folded = fold_users(PROFILE, [None] * len(shard.users), shard.readings, LATEST)
    assert not folded.errors
    assert encode(shard, folded.decisions).count(b"\n") == parsed.records
    encode_unreadable(shard.unreadable, ["a file"])
    for change in changes(shard.users, folded, {}):
        stored = user_state(key(change.user, PROFILE.name) | values(change, 1))
        assert stored.as_of == change.as_of
    failed = encode_measurements(shard, np.arange(len(shard.ids)), PROFILE)
    again = parse([failed], Jsonl(), PROFILE)
    assert not again.unreadable
    for name in ("time", "value", "tag", "hash"):
        assert np.array_equal(getattr(again, name), getattr(parsed, name)), name


def sound(parsed: Parsed) -> None:
    """Check that no record is lost or doubled, and that valid ones can be folded."""
    assert len(parsed.value) + len(parsed.unreadable) == parsed.records
    ordinals = [*parsed.ordinal.tolist(), *(record.ordinal for record in parsed.unreadable)]
    assert sorted(ordinals) == list(range(parsed.records))
    assert np.isfinite(parsed.value).all()
    assert all(0 < len(name.encode()) <= MAX_ID_BYTES for name in parsed.users)
    for record in parsed.unreadable:
        assert record.reason in REASONS
        assert record.detail.endswith(".")


def fuzz(
    blocks: int, *, seed: int, tell: Callable[[int], None] = lambda _: None
) -> tuple[int, int]:
    """Check blocks that Hypothesis draws; returns the numbers of lines and of records.

    Args:
        blocks: How many, each of `LINES_PER_BLOCK` lines.
        seed: The same seed makes the same lines.
        tell: Called with the number of lines checked so far.
    """
    checked = records = 0
    makers: dict[str, tuple[Callable[[random.Random], bytes], AnyFormat]] = {
        "jsonl": (json_line, Jsonl()),
        "csv": (csv_line, Csv(columns=list(COLUMNS))),
        "mapped csv": (csv_line, Mapped(columns=list(COLUMNS), mapping=mapping("csv"))),
        "mapped jsonl": (json_line, Mapped(mapping=mapping("jsonl"))),
        "days first": (
            csv_line,
            Mapped(columns=list(COLUMNS), mapping=mapping("csv", "day_first")),
        ),
        "unix": (json_line, Mapped(mapping=mapping("jsonl", "unix_seconds"))),
    }

    @hypothesis.seed(seed)
    @settings(
        max_examples=blocks,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sorted(makers)), st.integers(0, 2**64 - 1))
    def run(kind: str, block: int) -> None:
        nonlocal checked, records
        make, format_ = makers[kind]
        chance = random.Random(block)
        lines = [broken(make(chance), chance) for _ in range(LINES_PER_BLOCK)]
        records += check(lines, format_)
        head = b"\n".join(lines[: chance.randrange(4)])
        with contextlib.suppress(UnknownFormat):
            head = chance.choice((b"", b"\x1f\x8b", b"\xef\xbb\xbf")) + head
            detect_format("a file", inflate_head("a file", head))
        column_names(lines[0])
        checked += len(lines)
        tell(checked)

    run()
    return checked, records
