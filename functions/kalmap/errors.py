"""The closed family of errors that a caller or the state machine can meet.

Step Functions uses the name of each class as the error's name. Messages are sentences for the user:
what is wrong, where it is, and what to do.
"""


class KalmapError(Exception):
    """Base of the family. It is never raised itself."""


class InvalidInput(KalmapError):
    """The input of an execution or a request does not have the documented form.

    Args:
        message: A sentence.
        field: The field that is wrong, if the sentence is about one.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidProfile(KalmapError):
    """A profile's field is missing, unknown or out of its allowed range."""


class InvalidSetting(KalmapError):
    """An environment variable of a function holds a value that is not allowed."""


class UnsupportedBody(KalmapError):
    """An HTTP request's body has a type or an encoding that is not supported."""


class TooLarge(KalmapError):
    """An HTTP request is too large to be answered at once. It belongs in a batch."""


class Contradiction(KalmapError):
    """A request contradicts another request, or the state of its batch."""


class InputNotFound(KalmapError):
    """The input names an object, prefix, batch or user that does not exist."""


class UnknownFormat(KalmapError):
    """The input has none of the formats that are read, or lacks a column that is required."""


class InputChanged(KalmapError):
    """An input object was replaced or removed after the batch was identified."""


class CommitRefused(KalmapError):
    """The commit gate is closed. No state was changed."""


class ChunkFailed(KalmapError):
    """A chunk of the input could not be partitioned after every retry."""


class ShardFailed(KalmapError):
    """A shard could not be loaded, filtered or written after every retry."""


class StoreUnavailable(KalmapError):
    """The state table did not do its work within the remaining time or tries.

    Another try may succeed, so the state machine retries this error often.
    """


class StoreRefused(StoreUnavailable):
    """The state table refused a request, and would refuse it again."""


class BrokenRecord(KalmapError):
    """A record in the table of batches lacks a field that every batch has."""


class BatchFailed(KalmapError):
    """The batch ended without success. Its record and summary say why."""
