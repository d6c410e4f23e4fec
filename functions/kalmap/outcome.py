"""What became of a reading: the closed sets of statuses and reasons.

States store the integers of reasons, so they are part of the state's format: never renumber, only
append.
"""

from enum import IntEnum


class Status(IntEnum):
    """What was decided about a reading."""

    ACCEPTED = 0
    REJECTED = 1
    DUPLICATE = 2
    UNREADABLE = 3
    FAILED = 4

    @property
    def label(self) -> str:
        """The name used in results and summaries."""
        return self.name.lower()


class Reason(IntEnum):
    """Why a reading was not accepted; NONE for an accepted one."""

    NONE = 0
    # The fold decided, and the reading is stored in the window.
    IMPLAUSIBLE_RATE = 1  # of format 1; no longer given
    OUTLIER = 2
    UNIT_SUSPECT = 3
    # The fold decided, and the reading is not stored.
    OUT_OF_RANGE = 4
    IN_FUTURE = 5
    ID_CONFLICT = 6
    TOO_LATE = 7
    DUPLICATE = 8
    # The record could not be read.
    MALFORMED = 16
    MISSING_FIELD = 17
    BAD_TIMESTAMP = 18
    BAD_VALUE = 19
    UNKNOWN_UNIT = 20
    # The user, or its shard, could not be processed; retryable.
    CORRUPT_STATE = 24
    PROFILE_CHANGED = 25
    USER_FAILED = 26
    SHARD_FAILED = 27
    CONFLICT = 28
    TIMED_OUT = 29

    @property
    def label(self) -> str | None:
        """The name used in results and summaries; None for NONE."""
        return self.name.lower() if self else None
