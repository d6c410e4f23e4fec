"""Clocks: timestamps as other programs write them, read under a mapping."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from kalmap.moments import EPOCH
from kalmap.records.mapping import Dates, as_text
from kalmap.records.time_zones import time_zone
from kalmap.records.timestamps import OUT_OF_CALENDAR, read_timestamp

_OFFSET = r"(?:(?:UTC|GMT)(?=[+-]))?(?P<offset>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?"
_CLOCK = (
    r"(?:[T ,]+(?P<hour>\d{1,2})[:.h](?P<minute>\d\d)(?:[:.](?P<second>\d\d)"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?\s*(?P<half>[AP]\.?\s?M\.?)?)?"
)
_MONTH = r"(?P<name>[^\W\d]{3,10})\.?"
_SPELLINGS = tuple(
    re.compile(rf"{date}\s*,?{_CLOCK}\s*{_OFFSET}", re.IGNORECASE)
    for date in (
        r"(?P<first>\d{1,4})[./\- ](?P<second_part>\d{1,2})[./\- ](?P<third>\d{1,4})\.?",
        rf"(?P<day>\d{{1,2}})\.?[ \-/.]*{_MONTH}[ \-/.,]*(?P<year>\d{{4}}|\d\d)",
        rf"{_MONTH}\s*(?P<day>\d{{1,2}}),?\s+(?P<year>\d{{4}})",
    )
)
#: Months by their first three letters, where these mean one month only.
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan ene gen", "feb fev fév", "mar mär mrt maa", "apr abr avr", "may mai mei mag maj",
            "jun giu", "jul lug", "aug ago aoû", "sep set", "oct okt ott out", "nov",
            "dec dez dic déc",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_NUMBER = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
#: How many of a number since 1970 a second has.
PER_SECOND = {
    "unix_seconds": 1, "unix_milliseconds": 1_000, "unix_microseconds": 1_000_000,
    "unix_nanoseconds": 1_000_000_000,
}  # fmt: skip
_WORDS = {"iso": "with the year first", "day_first": "with the day first",
          "month_first": "with the month first"}  # fmt: skip


class Clock:
    """Reads timestamps.

    Args:
        dates: How they are written.
        tz: The time zone of those without an offset; None if there may be none.
    """

    def __init__(self, dates: Dates, tz: str | None) -> None:
        self._dates = dates
        self._zone: tzinfo | None = time_zone(tz) if tz else None
        self._per_second = PER_SECOND.get(dates)

    def read(self, value: object) -> datetime:
        """Read a timestamp.

        Raises:
            ValueError: A sentence's end that says what is wrong with it.
        """
        if self._per_second:
            return _since_1970(value, self._per_second)
        if not isinstance(value, str):
            raise ValueError(f"is the number {as_text(value)}, not a date and time{_unix(value)}.")  # noqa: TRY004
        text = value.strip()
        if self._dates != "iso":
            return self._other(text)
        clock = text[10:]
        if not any(mark in clock for mark in "Zz+-") and "UTC" not in clock:
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                return self._other(text)
            return self._aware(moment, text)
        try:
            return read_timestamp(text)
        except ValueError:
            return self._other(text)

    def aware(self, moment: datetime) -> datetime:
        """A time of the clock with its zone.

        Raises:
            ValueError: It has none.
        """
        return self._aware(moment, moment.isoformat())

    def _other(self, text: str) -> datetime:
        for spelling in _SPELLINGS:
            if found := spelling.fullmatch(text):
                return self._moment(found, text)
        raise ValueError(
            f"is {as_text(text)!r}, which is no date and time {_WORDS[self._dates]}{_unix(text)}."
        )

    def _moment(self, found: re.Match[str], text: str) -> datetime:
        part = found.groupdict()
        if part.get("name"):
            month = _MONTHS.get(part["name"][:3].casefold())
            if month is None:
                raise ValueError(f"is {as_text(text)!r}, whose month is not known.")
            year, day = int(part["year"]), int(part["day"])
        else:
            year, month, day = self._in_order(
                part["first"], part["second_part"], part["third"], text
            )
        hour = int(part["hour"] or 0)
        if half := part["half"]:
            if not 1 <= hour <= 12:
                raise ValueError(f"is {as_text(text)!r}, whose hour does not exist.")
            hour = hour % 12 + (12 if half[0] in "Pp" else 0)
        fraction = timedelta(microseconds=round(float(f"0.{part['fraction'] or 0}") * 1e6))
        try:
            moment = datetime(  # noqa: DTZ001 - the zone follows
                year + 2000 if year < 100 else year, month, day,
                hour, int(part["minute"] or 0), int(part["second"] or 0),
            ) + fraction  # fmt: skip
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"is {as_text(text)!r}, which {_WORDS[self._dates]} is no date and time that "
                "exists."
            ) from error
        return self._aware(moment, text, part["offset"])

    def _in_order(self, first: str, second: str, third: str, text: str) -> tuple[int, int, int]:
        if len(first) == 4:
            return int(first), int(second), int(third)
        if self._dates == "iso" or len(third) not in {2, 4}:
            raise ValueError(f"is {as_text(text)!r}, which is no date {_WORDS[self._dates]}.")
        if self._dates == "day_first":
            return int(third), int(second), int(first)
        return int(third), int(first), int(second)

    def _aware(self, moment: datetime, text: str, offset: str | None = None) -> datetime:
        if offset:
            if offset.upper() in {"Z", "UTC", "GMT"}:
                return moment.replace(tzinfo=UTC)
            return datetime.fromisoformat(f"{moment.isoformat()}{offset}")
        if moment.tzinfo is not None:
            return moment
        if self._zone is None:
            raise ValueError(
                f"is {as_text(text)!r}, which has no offset from UTC. Name the time zone of its "
                "clock by `source.mapping.tz`."
            )
        return moment.replace(tzinfo=self._zone)


def _since_1970(value: object, per_second: int) -> datetime:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            names = {count: name.removeprefix("unix_") for name, count in PER_SECOND.items()}
            unit = names[per_second]
            raise ValueError(f"is {as_text(value)!r}, which is no number of {unit} since 1970.")
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {as_text(value)}, which is no number.")  # noqa: TRY004
    try:
        return EPOCH + timedelta(microseconds=_microseconds(value, per_second))
    except (OverflowError, ValueError) as error:
        raise ValueError(OUT_OF_CALENDAR.removeprefix("timestamp ")) from error


def _microseconds(value: float, per_second: int) -> int:
    if per_second <= 1_000_000:
        return round(value * (1_000_000 // per_second))
    step = per_second // 1_000_000
    if isinstance(value, float):
        return round(value / step)
    # A division of large whole numbers would not be exact.
    whole, rest = divmod(value, step)
    return whole + (2 * rest > step or (2 * rest == step and whole % 2 == 1))


def _unix(value: object) -> str:
    number = isinstance(value, int | float) or (
        isinstance(value, str) and _NUMBER.fullmatch(value) is not None
    )
    return "; if it counts from 1970, say unix_seconds or the like" if number else ""
