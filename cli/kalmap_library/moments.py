"""A time of the caller's, as microseconds since 1970 UTC."""

from datetime import datetime

from kalmap.errors import InvalidInput
from kalmap.moments import microseconds
from kalmap.records.timestamps import read_timestamp


def moment(time: datetime | str, name: str) -> int:
    """A time with its offset.

    Args:
        time: Aware, or ISO 8601 with an offset in any of its spellings.
        name: Names the argument in a sentence.

    Raises:
        InvalidInput: It is not such a time.
    """
    try:
        text = time.isoformat() if isinstance(time, datetime) else time
        return microseconds(read_timestamp(text))
    except ValueError:
        raise InvalidInput(
            f"{name} is {time!r}; it must be a time with its offset, such as "
            "2026-03-01T07:12:00+01:00."
        ) from None
