"""The reasons of decisions, in words."""

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
