"""Conversion: readings of any format to columns, whose values are in the profile's unit."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import numpy as np

from kalmap import units
from kalmap.moments import EARLIEST, LATEST, SECOND, microseconds
from kalmap.outcome import Reason
from kalmap.profile import Profile
from kalmap.readings import F64, I32, I64, U8, U64
from kalmap.records.coded import Coded, CodedReadings
from kalmap.records.measurement import MAX_ID_BYTES, Measurement, RecordError
from kalmap.records.timestamps import OUT_OF_CALENDAR

#: Below this many seconds from 1970 a float64 of seconds still tells microseconds apart.
_EXACT_SECONDS = 4.0e9
# SplitMix64's constants (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195).
_SPLITMIX_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_SPLITMIX_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_AS_IT_IS = units.Conversion(1.0)


class Columns(NamedTuple):
    """A block's readings; arrays have shape (readings,)."""

    user: I32
    time: I64
    value: F64
    source: I32
    tag: U8
    hash: U64
    ordinal: I64
    ids: list[str | None]


def coded(measurements: list[Measurement]) -> CodedReadings:
    """Measurements as columns."""
    return CodedReadings(
        users=Coded.of([m.user_id for m in measurements]),
        units=Coded.of([m.unit for m in measurements]),
        sources=Coded.of([m.source for m in measurements]),
        time=microseconds_of([m.timestamp for m in measurements]),
        value=np.fromiter([m.value for m in measurements], np.float64, len(measurements)),
        ids=[m.measurement_id or None for m in measurements],
    )


class Converter:
    """Converts readings to columns. Users, units and sources are looked up once each.

    Args:
        profile: The profile whose unit the values are converted to.
    """

    def __init__(self, profile: Profile) -> None:
        self.users: dict[str, int] = {}
        """The position of each user."""
        self.sources: dict[str | None, int] = {}
        """The position of each source."""
        self._profile = profile
        self._conversions: dict[str | None, units.Conversion] = {None: _AS_IT_IS}
        self._source_hashes: list[int] = []

    def knows(self, unit: str | None) -> bool:
        """Whether values in a unit can be converted."""
        try:
            self._know_unit(unit)
        except RecordError:
            return False
        return True

    def of_measurements(self, measurements: list[Measurement], ordinals: Sequence[int]) -> Columns:
        """Convert measurements to columns, as `of_codes` does."""
        return self.of_codes(coded(measurements), np.array(ordinals, np.int64))

    def of_codes(self, readings: CodedReadings, ordinals: I64) -> Columns:
        """Convert to columns whose values can all be routed, folded, stored and reported.

        Raises:
            RecordError: A reading must be refused.
        """
        (names, user), (unit_names, unit), (source_names, source), time, value, ids = readings
        count = len(time)
        _check_ids("user_id", (name or "" for name in names if name not in self.users))
        _check_ids("measurement_id", filter(None, ids))
        for unit_name in unit_names:
            self._know_unit(unit_name)
        conversions = [self._conversions[name] for name in unit_names]
        if any(conversion != _AS_IT_IS for conversion in conversions):
            with np.errstate(over="ignore"):
                value = value * np.array([one.factor for one in conversions], np.float64)[unit]
                value = value + np.array([one.offset for one in conversions], np.float64)[unit]
        _check_finite(np.isfinite(value).all())
        if count and not EARLIEST <= time.min() <= time.max() <= LATEST:
            raise RecordError(Reason.BAD_TIMESTAMP, OUT_OF_CALENDAR)
        value = value + 0.0  # -0.0 becomes 0.0, which has one key
        numbers = [self.users.setdefault(name or "", len(self.users)) for name in names]
        self._know_sources(source_names)
        source = np.array([self.sources[name] for name in source_names], np.int32)[source]
        source_hash = np.array(self._source_hashes, np.uint64)[source]
        hashes = _mix(source_hash ^ value.view(np.uint64))
        is_named = np.fromiter(map(bool, ids), np.bool_, count)
        if is_named.any():
            hashes[is_named] = _hashes64(filter(None, ids))
        return Columns(
            user=np.array(numbers, np.int32)[user],
            time=time,
            value=value,
            source=source,
            tag=is_named.astype(np.uint8),
            hash=hashes,
            ordinal=ordinals,
            ids=ids,
        )

    def _know_unit(self, unit: str | None) -> None:
        if unit in self._conversions:
            return
        conversion = units.conversion(unit or "", self._profile.unit)
        if conversion is None:
            raise RecordError(
                Reason.UNKNOWN_UNIT,
                f"unit {(unit or '')[:20]!r} cannot be converted to "
                f"{units.shown(self._profile.unit)}, the unit of the profile {self._profile.name}.",
            )
        self._conversions[unit] = conversion

    def _know_sources(self, names: Sequence[str | None]) -> None:
        for name in names:
            if name not in self.sources:
                self.sources[name] = len(self.sources)
                self._source_hashes += _hashes64([name or ""]).tolist()

    def check(self, measurement: Measurement) -> Measurement:
        """Return a measurement that can be converted.

        Raises:
            RecordError: It must be refused.
        """
        try:
            _check_ids("user_id", [measurement.user_id])
            _check_ids("measurement_id", filter(None, [measurement.measurement_id]))
            self._know_unit(measurement.unit)
            factor, offset = self._conversions[measurement.unit]
            _check_finite(math.isfinite(measurement.value * factor + offset))
        except RecordError as error:
            error.record = msgspec.structs.asdict(measurement)
            raise
        return measurement


def in_order(parts: Sequence[Columns]) -> Columns:
    """Join the parts of a block in the order of its records."""
    order = np.argsort(np.concatenate([part.ordinal for part in parts]))
    ids = [name for part in parts for name in part.ids]
    *arrays, _ = zip(*parts, strict=True)
    joined = (np.concatenate(column)[order] for column in arrays)
    return Columns._make([*joined, [ids[row] for row in order.tolist()]])


def _check_ids(field: str, names: Iterable[str]) -> None:
    for name in names:
        if len(name) > MAX_ID_BYTES or (not name.isascii() and len(name.encode()) > MAX_ID_BYTES):
            raise RecordError(Reason.MALFORMED, f"{field} is longer than {MAX_ID_BYTES} bytes.")
        if not name or not name.isprintable():
            raise RecordError(Reason.MALFORMED, f"{field} holds a control character or is empty.")


def _check_finite(finite: object) -> None:
    if not finite:
        raise RecordError(Reason.BAD_VALUE, "value is not finite.")


def microseconds_of(times: list[datetime]) -> I64:
    """Convert aware times to whole microseconds since 1970, exactly at any date."""
    seconds = np.fromiter([time.timestamp() for time in times], np.float64, len(times))
    rounded = np.rint(seconds * SECOND).astype(np.int64)
    for row in np.flatnonzero(np.abs(seconds) > _EXACT_SECONDS):
        rounded[row] = microseconds(times[row])
    return rounded


def _hashes64(names: Iterable[str]) -> U64:
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), "<u8")


def _mix(bits: U64) -> U64:
    """SplitMix64's output function, elementwise."""
    mixed = bits + _SPLITMIX_INCREMENT
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _SPLITMIX_MULTIPLIERS[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SPLITMIX_MULTIPLIERS[1]
    return mixed ^ (mixed >> np.uint64(31))
