"""Timestamps: date-times of ISO 8601 with an offset from UTC, in all their spellings."""

import re
from datetime import datetime
from typing import Annotated

import msgspec

from kalmap.moments import EARLIEST, LATEST, microseconds

Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]

OUT_OF_CALENDAR = "timestamp lies outside the years 1 to 9999 of UTC."
_EXAMPLE = "2026-03-01T07:12:00+01:00"
_NO_OFFSET = f"timestamp has no offset from UTC; write for example {_EXAMPLE}."
_DATE = r"(?P<date>\d{4}-\d\d-\d\d|\d{8}|\d{4}-W\d\d-\d|\d{4}W\d{3})"
_TIME = r"(?P<time>\d\d(?::?\d\d(?::?\d\d)?)?)"
_SPELLING = re.compile(
    rf"{_DATE}[T ]{_TIME}(?:[.,](?P<fraction>\d+))? *(?P<offset>Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII
)


def read_timestamp(value: object) -> datetime:
    """Read a record's timestamp.

    Fractions of a second are rounded to whole microseconds.

    Raises:
        ValueError: A sentence saying what is wrong with it.
    """
    if not isinstance(value, str):
        raise ValueError(_describe_non_text(value))  # noqa: TRY004 - the one error that is caught
    text = value.strip()
    try:
        moment = msgspec.convert(text, Timestamp)
    except msgspec.ValidationError:
        moment = _read_other_spelling(text)
    if not (1 < moment.year < 9999 or EARLIEST <= microseconds(moment) <= LATEST):
        raise ValueError(OUT_OF_CALENDAR)
    return moment


def _read_other_spelling(text: str) -> datetime:
    spelling = _SPELLING.fullmatch(text.upper().replace("\u2212", "-"))
    if spelling is None:
        raise ValueError(_describe_non_timestamp(text))
    date, time, fraction, offset = spelling.group("date", "time", "fraction", "offset")
    clock = time.replace(":", "")
    if clock[:2] == "24":
        raise ValueError("timestamp has the hour 24; write 00:00 of the next day.")
    if clock[4:] == "60":
        raise ValueError("timestamp has the second 60, a leap second; write second 59.")
    if offset is None:
        raise ValueError(_NO_OFFSET)
    if fraction and len(clock) < len("HHMMSS"):
        raise ValueError("timestamp has a fraction of a minute or an hour; write seconds.")
    try:
        seconds = datetime.fromisoformat(f"{date}T{time}{offset}").isoformat()
    except ValueError as error:
        raise ValueError("timestamp is no date and time that exists.") from error
    try:
        # The decoder rounds the fraction, so that all spellings are rounded alike.
        return msgspec.convert(f"{seconds[:19]}.{fraction or 0}{seconds[19:]}", Timestamp)
    except msgspec.ValidationError as error:
        raise ValueError(OUT_OF_CALENDAR) from error


def _describe_non_timestamp(text: str) -> str:
    if re.fullmatch(r"-?\d+(?:\.\d+)?", text, re.ASCII):
        return _describe_number(text)
    return f"timestamp is not an ISO 8601 date and time like {_EXAMPLE}."


def _describe_non_text(value: object) -> str:
    if isinstance(value, float):
        return _describe_number(f"{value:.15g}")
    return f"timestamp is not text in ISO 8601, such as {_EXAMPLE}."


def _describe_number(shown: str) -> str:
    return (
        f"timestamp is the number {shown[:20]}, perhaps seconds or milliseconds since 1970; write "
        f"it in ISO 8601, such as {_EXAMPLE}."
    )
