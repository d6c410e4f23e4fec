"""Moments: ISO 8601 text, aware datetimes, and whole microseconds since 1970 UTC."""

from datetime import UTC, datetime, timedelta

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A second and a day in microseconds.
SECOND = 1_000_000
DAY = 86_400 * SECOND


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC of an aware time."""
    return (moment - EPOCH) // timedelta(microseconds=1)


#: The ends of the calendar in UTC; a text with an offset can lie outside of them.
EARLIEST = microseconds(datetime.min.replace(tzinfo=UTC))
LATEST = microseconds(datetime.max.replace(tzinfo=UTC))


def moment_at(microseconds_: int) -> datetime:
    """The UTC time of a number of microseconds since 1970 UTC."""
    return EPOCH + timedelta(microseconds=microseconds_)


def parse_moment(text: str) -> datetime:
    """A UTC time from ISO 8601, as Step Functions and events write it."""
    return msgspec.convert(text, datetime).astimezone(UTC)


def aware_moment(text: str) -> datetime:
    """A time in UTC from ISO 8601 with an offset.

    Raises:
        ValueError: The text is not such a time, or has no offset.
        OverflowError: The time in UTC is outside the years 1 to 9999.
    """
    moment = msgspec.convert(text, datetime)
    if moment.tzinfo is None:
        raise ValueError("a time without its offset")
    return moment.astimezone(UTC)


def iso(moment: datetime) -> str:
    """A UTC time in ISO 8601, as kalmap writes it: ending in Z."""
    return moment.isoformat().replace("+00:00", "Z")
