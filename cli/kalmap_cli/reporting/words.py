"""The reasons of decisions in words, and numbers as they are read."""

import math

from kalmap.outcome import Reason

#: By the name that results use.
REASONS: dict[str, str] = {
    reason.label or "": words
    for reason, words in {
        Reason.IMPLAUSIBLE_RATE: "it had changed too fast",
        Reason.OUTLIER: "too far from what was expected",
        Reason.UNIT_SUSPECT: "right in another unit",
        Reason.OUT_OF_RANGE: "outside the profile's range",
        Reason.IN_FUTURE: "later than the batch",
        Reason.ID_CONFLICT: "another value under the same id",
        Reason.TOO_LATE: "older than what is settled",
        Reason.DUPLICATE: "there already",
        Reason.MALFORMED: "not a record",
        Reason.MISSING_FIELD: "a field is missing",
        Reason.BAD_TIMESTAMP: "the time cannot be read",
        Reason.BAD_VALUE: "the value cannot be read",
        Reason.UNKNOWN_UNIT: "an unknown unit",
        Reason.CORRUPT_STATE: "the stored state is damaged",
        Reason.PROFILE_CHANGED: "the state is of another profile",
        Reason.USER_FAILED: "the user could not be processed",
        Reason.SHARD_FAILED: "the shard could not be processed",
        Reason.CONFLICT: "another batch wrote the state",
        Reason.TIMED_OUT: "the time ended",
    }.items()
}


def rounded(value: float, digits: int, *, sign: bool = False) -> str:
    """A number with so many significant digits, and no power of ten."""
    places = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
    return f"{round(value, places):{'+' if sign else ''},.{max(places, 0)}f}"


def with_margin(value: float, margin: float, *, sign: bool = False) -> str:
    """A value and its margin, both to the second significant digit of the margin: `81.40 ± 0.38`.

    Expression of uncertainty: JCGM 100:2008, section 7.2.6.
    """
    places = 1 - math.floor(math.log10(margin)) if margin > 0.0 else 2
    form = f",.{max(places, 0)}f"
    # The sum makes a zero of a negative zero.
    shown = round(value, places) + 0.0
    return f"{shown:{'+' if sign else ''}{form}} ± {round(margin, places):{form}}"
