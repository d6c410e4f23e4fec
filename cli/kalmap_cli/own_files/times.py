"""Times: how the timestamps of a file are written, from some of them."""

import functools
import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from kalmap.records.clocks import Clock
from kalmap.records.mapping import Dates
from kalmap.records.time_zones import time_zone
from kalmap_cli.own_files.tables import Table

#: A way to write dates is taken if it reads this share of them.
_MOST = 0.9
_LOOKED_AT = 2000
#: Characters of a date in numbers.
_DATE = 10
#: Where numbers of a date are separated by points, the day comes first.
#: Such as +01:00 or UTC+0900.
_OFFSET = re.compile(r"(?:UTC|GMT)?[+-]\d\d:?\d\d", re.ASCII)
_DOTTED = re.compile(r"\d{1,2}\.\s?\d{1,2}\.")
_UNIX_DIGITS = {9: "unix_seconds", 10: "unix_seconds", 12: "unix_milliseconds",
                13: "unix_milliseconds", 15: "unix_microseconds", 16: "unix_microseconds",
                18: "unix_nanoseconds", 19: "unix_nanoseconds"}  # fmt: skip


class Times(NamedTuple):
    """How timestamps are written."""

    dates: list[Dates]
    """All ways that fit; more than one if a file does not tell."""
    local: bool
    """Whether some have no offset from UTC."""
    clock: bool
    """Whether some have a time of day."""
    example: str
    deciding: str | None = None
    """The only date that tells the day from the month, where all others can be read both ways."""
    other: Dates = "iso"
    """The other way, then."""


def column_of_offsets(table: Table) -> tuple[str, str] | None:
    """The column that has an offset from UTC in every row, and its first one; None if none has."""
    for name, cells in zip(table.columns, zip(*table.rows, strict=False), strict=False):
        texts = [str(cell).strip() for cell in cells if cell not in (None, "")]
        if texts and all(map(_OFFSET.fullmatch, texts)):
            return name, texts[0]
    return None


def understand_times(cells: list[Any]) -> Times | None:
    """Find out how timestamps are written; None if these are none."""
    cells = cells[:: max(1, len(cells) // _LOOKED_AT)]
    texts = [str(cell).strip() for cell in cells]
    if not texts:
        return None
    if unix := _unix(cells, texts):
        return Times([unix], local=False, clock=True, example=texts[0])
    ways: tuple[Dates, ...] = ("iso", "day_first", "month_first")
    read = {way: sum(_reads(way, "UTC", text) for text in texts) for way in ways}
    best = max(read.values())
    if best < _MOST * len(texts):
        return None
    fitting = [way for way in ways if read[way] == best]
    if fitting == ["day_first", "month_first"] and _DOTTED.match(texts[0]):
        fitting = ["day_first"]
    way = fitting[0]
    example = next(text for text in texts if _reads(way, "UTC", text))
    deciding, other = _deciding(texts, way) if len(fitting) == 1 else (None, way)
    return Times(
        [way] if way == "iso" else fitting,
        local=sum(_reads(way, None, text) for text in texts) < best,
        clock=any(":" in text or "T" in text for text in texts),
        example=example,
        deciding=deciding,
        other=other,
    )


def _deciding(texts: Sequence[str], way: Dates) -> tuple[str | None, Dates]:
    """The date that alone tells how all are written, and the other way; None if several do."""
    ways: dict[Dates, Dates] = {"day_first": "month_first", "month_first": "day_first"}
    if way not in ways or _DOTTED.match(texts[0]):
        return None, way
    telling = {text for text in texts if not _reads(ways[way], "UTC", text)}
    days = {text[:_DATE] for text in telling}
    several = len({text[:_DATE] for text in texts}) > 2
    return (min(telling), ways[way]) if len(days) == 1 and several else (None, way)


def find_mixed_dates(cells: Sequence[Any]) -> tuple[str, str] | None:
    """A date with the day first and one with the month first, if no one way reads most of them."""
    some = cells[:: max(1, len(cells) // _LOOKED_AT)]
    texts = list(dict.fromkeys(str(cell).strip() for cell in some))
    days = dict.fromkeys(text for text in texts if _reads("day_first", "UTC", text))
    months = dict.fromkeys(text for text in texts if _reads("month_first", "UTC", text))
    only_day = next((text for text in days if text not in months), None)
    only_month = next((text for text in months if text not in days), None)
    if only_day is None or only_month is None or len(days | months) < _MOST * len(texts):
        return None
    return only_day, only_month


# Several questions about a file look at the same times.
@functools.lru_cache(maxsize=1 << 16)
def _reads(way: Dates, zone: str | None, text: str) -> bool:
    try:
        _clock(way, zone).read(text)
    except (ValueError, OverflowError):
        return False
    return True


def _unix(cells: list[Any], texts: list[str]) -> Dates | None:
    if any(isinstance(cell, bool) for cell in cells):
        return None
    lengths = {len(text.partition(".")[0]) for text in texts if text.partition(".")[0].isdigit()}
    found = {_UNIX_DIGITS.get(length) for length in lengths}
    if len(found) != 1 or not all(text.replace(".", "", 1).isdigit() for text in texts):
        return None
    return found.pop()  # type: ignore[return-value]


def machine_time_zone() -> str:
    """The name of this machine's time zone, for an example; ZONE if it is not known."""
    candidates = [
        os.environ.get("TZ", ""),
        os.path.realpath("/etc/localtime").partition("zoneinfo/")[2],
    ]
    for name in candidates:
        if name and name not in {"UTC", "Etc/UTC"} and time_zone(name):
            return name
    return "ZONE"


@functools.cache
def _clock(way: Dates, zone: str | None) -> Clock:
    return Clock(way, zone)
