"""Which result lines a reader wants: those of a user, or of a status."""

from typing import NamedTuple

import msgspec

from kalmap.errors import InvalidInput
from kalmap.outcome import Status

STATUSES = tuple(status.label for status in Status)
#: Names of statuses in the results of earlier batches, accepted until version 0.2.
_UNREADABLE = Status.UNREADABLE.label
_EARLIER = {"invalid": _UNREADABLE}


class Labels(msgspec.Struct):
    """The fields of a result line by which it is selected."""

    index: int
    user_id: str | None
    status: str


#: Decodes a line's labels.
read_labels = msgspec.json.Decoder(Labels).decode


class Selection(NamedTuple):
    """The results of one user, of one status, or both."""

    user: str | None = None
    """None for all. Unreadable records belong to no user, also if their user can be read: they lie
    among the results of any shard."""
    status: str | None = None
    """None for all."""

    def takes(self, labels: Labels) -> bool:
        """Whether a line is one of them."""
        statuses = {None, labels.status, _EARLIER.get(labels.status)}
        if self.status not in statuses:
            return False
        return self.user is None or (self.user == labels.user_id and _UNREADABLE not in statuses)


def result_status(text: str | None) -> str | None:
    """Check a status of results.

    Raises:
        InvalidInput: No result has such a status.
    """
    status = None if text is None else _EARLIER.get(text, text)
    if status is not None and status not in STATUSES:
        raise InvalidInput(f"status must be one of {', '.join(STATUSES)}.", "status")
    return status
