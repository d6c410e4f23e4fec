"""Tallies: numbers of readings by what was decided about them.

In memory the key is a pair of status and reason. In JSON it is a text such as "rejected/outlier",
or "accepted/" without a reason. Only this module converts one to the other.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from kalmap.outcome import Reason, Status

Decision = tuple[Status, Reason]
T = TypeVar("T")

_STATUSES = {status.label: status for status in Status}
_REASONS = {reason.label or "": reason for reason in Reason}


class Tally(Counter[Decision]):
    """Numbers of readings by decision. Decisions that are not in it count zero."""

    @classmethod
    def from_texts(cls, numbers: Mapping[str, int]) -> "Tally":
        """Decode a tally from its JSON object, such as {"rejected/outlier": 2}.

        Raises:
            ValueError: A text names no decision.
        """
        tally = cls()
        for text, number in numbers.items():
            status, slash, reason = text.partition("/")
            if not slash:
                raise ValueError(f"There is no slash after the status in {text!r}.")
            tally[decision(status, reason)] = number
        return tally

    def of_status(self, status: Status) -> dict[Reason, int]:
        """The numbers of one status by reason, without zeros."""
        return {
            reason: number for (one, reason), number in self.items() if one == status and number
        }


def decision(status: str, reason: str | None) -> Decision:
    """The decision that a result line names by its labels.

    Raises:
        ValueError: There is no such status or reason.
    """
    if status not in _STATUSES:
        raise ValueError(f"There is no status {status!r} of a reading.")
    if (reason or "") not in _REASONS:
        raise ValueError(f"There is no reason {reason!r} for the status of a reading.")
    return _STATUSES[status], _REASONS[reason or ""]


def to_json(content: object) -> bytes:
    """Encode records that may hold tallies."""
    return msgspec.json.encode(content, enc_hook=_text)


def from_json(data: bytes, kind: type[T]) -> T:
    """Decode what `to_json` encoded.

    Raises:
        msgspec.ValidationError: It is not of this kind, or a tally names no decision.
    """
    return msgspec.json.decode(data, type=kind, dec_hook=_from_texts)


def _text(key: Any) -> str:
    """A decision as a key of a JSON object: the only thing msgspec cannot encode itself."""
    status, reason = key
    return f"{status.label}/{reason.label or ''}"


def _from_texts(_kind: type, numbers: Any) -> Tally:
    return Tally.from_texts(numbers)
