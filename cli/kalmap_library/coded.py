"""Readings in, column by column: most tables need no records, which take several times as long."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from kalmap.moments import EARLIEST, LATEST, SECOND
from kalmap.readings import F64, I64
from kalmap.records.coded import Coded, CodedReadings
from kalmap.records.conversion import microseconds_of
from kalmap.records.measurement import MOST_WHOLE
from kalmap.records.timestamps import Timestamp
from kalmap_library.table import Table, as_array

_TEXTS = {str, type(None)}
#: numpy's units of time of which a range in seconds says whether microseconds hold it.
_UNITS = ("s", "ms", "us", "ns")
#: A record with a longer one may be too long for a line.
_LONGEST_SOURCE = 1_000


class CodedTable(Table):
    """Readings of a file. They become columns of numpy when one is asked for.

    Args:
        readings: Values in their own units; at least one part.
    """

    def __init__(self, readings: Sequence[CodedReadings]) -> None:
        self.readings: CodedReadings | None = _joined(readings)
        """None as soon as there are columns, which can be changed."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.readings.time) if self.readings else super().rows

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:  # type: ignore[override]
        assert self.readings is not None
        (users, units, sources, time, value, ids), self.readings = self.readings, None
        texts = {"unit": units, "source": sources}
        return {
            "user_id": as_array(users.names)[users.codes],
            "timestamp": time.view("M8[us]"),
            "value": value,
            **{name: as_array(coded.names)[coded.codes] for name, coded in texts.items()},
            "measurement_id": as_array(ids),
        }


def _joined(parts: Sequence[CodedReadings]) -> CodedReadings:
    users, units, sources, times, values, ids = zip(*parts, strict=True)
    return CodedReadings(
        _joined_texts(users),
        _joined_texts(units),
        _joined_texts(sources),
        np.concatenate(times),
        np.concatenate(values),
        [name for part in ids for name in part],
    )


def _joined_texts(parts: Sequence[Coded]) -> Coded:
    positions: dict[str | None, int] = {}
    codes = []
    for names, codes_of_part in parts:
        own = [positions.setdefault(name, len(positions)) for name in names]
        codes.append(np.array(own, np.int32)[codes_of_part])
    return Coded(list(positions), np.concatenate(codes))


def coded_readings(columns: Mapping[str, Any]) -> CodedReadings | None:
    """Readings as columns.

    Args:
        columns: Lists of the same length, by field; times may also be an array of numpy's.

    Returns:
        What the records' parser makes of them; None if it must look at each, since a field is
        missing or has another type.
    """
    count = len(columns["user_id"])
    nothing = [None] * count
    users = columns["user_id"]
    units, sources, ids = (
        columns.get(name, nothing) for name in ("unit", "source", "measurement_id")
    )
    if set(map(type, users)) != {str}:
        return None
    if not all(set(map(type, texts)) <= _TEXTS for texts in (units, sources, ids)):
        return None
    source = Coded.of(sources)
    time, value = _times(columns["timestamp"]), _numbers(columns["value"])
    if (
        time is None
        or value is None
        or max(len(name or "") for name in source.names) > (_LONGEST_SOURCE)
    ):
        return None
    return CodedReadings(
        Coded.of(users), Coded.of(units), source, time, value, [name or None for name in ids]
    )


def _numbers(values: Sequence[Any]) -> F64 | None:
    """Finite numbers; None if there are others."""
    kinds = set(map(type, values))
    if not kinds <= {float, int}:
        return None
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:
        return None
    most = MOST_WHOLE if int in kinds else np.inf
    return numbers if (np.abs(numbers) < most).all() else None


def _times(times: Sequence[Any] | NDArray[Any]) -> I64 | None:
    """Microseconds since 1970 UTC; None if a time needs another look."""
    if isinstance(times, np.ndarray):
        return _times_of_numpy(times)
    kinds = set(map(type, times))
    if kinds == {str}:
        try:
            times = msgspec.convert(times, list[Timestamp])
        except msgspec.ValidationError:
            return None
    elif kinds != {datetime} or not all(map(_is_plain, {time.tzinfo for time in times})):
        return None
    return microseconds_of(list(times))


def _times_of_numpy(times: NDArray[Any]) -> I64 | None:
    if np.datetime_data(times.dtype) not in [(unit, 1) for unit in _UNITS]:
        return None
    seconds = times.astype("M8[s]").view(np.int64)
    if seconds.min() < EARLIEST // SECOND or seconds.max() > LATEST // SECOND:
        return None
    whole = times.astype("M8[us]")
    return whole.view(np.int64) if (whole == times).all() else None


def _is_plain(zone: object) -> bool:
    """Whether it is a fixed offset as ISO 8601 writes it."""
    return isinstance(zone, timezone) and not zone.utcoffset(None) % timedelta(minutes=1)
