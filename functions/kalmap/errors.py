"""The closed family of errors a caller, or the state machine, can meet.

Each class's name is what Step Functions sees as the error's name. Messages are
sentences for the user: what is wrong, where, what to do.
"""


class KalmapError(Exception):
    """Base of the family; never raised itself."""


class InvalidInput(KalmapError):
    """The execution's input is not of the form that docs and README describe.

    Args:
        message: The sentence.
        field: The field that is wrong, where the sentence is about one.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidProfile(KalmapError):
    """A profile's field is missing, unknown or out of its allowed range."""


class InvalidSetting(KalmapError):
    """An environment variable of a function holds a value that is not allowed."""


class UnsupportedBody(KalmapError):
    """An HTTP request's body has a type or an encoding that is not read."""


class TooLarge(KalmapError):
    """An HTTP request holds more than is answered at once; it belongs into a batch."""


class Contradiction(KalmapError):
    """A request contradicts another one, or the state of what it is about."""


class InputNotFound(KalmapError):
    """The source names an object or prefix that holds nothing."""


class UnknownFormat(KalmapError):
    """The input is neither JSONL nor CSV with the required header."""


class InputChanged(KalmapError):
    """An input object was replaced or removed after the batch was identified."""


class CommitRefused(KalmapError):
    """The commit gate is closed: no state was touched."""


class ChunkFailed(KalmapError):
    """A chunk of the input could not be partitioned after every retry."""


class ShardFailed(KalmapError):
    """A shard could not be loaded, filtered or written after every retry."""


class StoreUnavailable(KalmapError):
    """The state table did not do its work within the time or the tries that were left.

    Another try may do the rest: the state machine tries this error often.
    """


class StoreRefused(StoreUnavailable):
    """The state table refused a request for good; it would refuse the next try, too."""


class BrokenRecord(KalmapError):
    """A record in the table of batches lacks a field that every batch has."""


class BatchFailed(KalmapError):
    """The batch ended without success; its record and summary say why."""
