"""States of format 1, which kalmap 0.1 wrote, as bodies of format 2.

The filter of that time had one estimate and, while readings were rejected, a candidate that they
agreed on. The candidate becomes a second hypothesis. What is not sound stays as it is, and the
codec refuses it.
"""

from collections.abc import Sequence

import numpy as np

from kalmap.filter.bodies import ENTRY_BYTES
from kalmap.filter.columns import OTHERS, WEIGHT, Kind
from kalmap.filter.layout import FORMAT, HEADER, KIND_BITS, checksums, write_others
from kalmap.filter.reduction import rounded
from kalmap.readings import U64

FORMER = b"\x01"
FORMER_ROWS = 5

_FORMER_HEADER = np.dtype(
    [
        ("format", "u1"),
        # Window readings.
        ("readings", "u1"),
        # Bit 0: a checkpoint exists. Bit 1: the tag of the last key absorbed.
        ("flags", "u1"),
        # Low half: accepted readings since the filter (re)started, at most 15. High half: readings
        # that agree on the candidate.
        ("counters", "u1"),
        ("checksum", "<u4"),
        ("profile_digest", "<u8"),
        ("time", "<i8"),
        ("hash", "<u8"),
        ("estimate", "<f8", 5),
        ("candidate", "<f8", 5),
        ("newest", "<i8"),
    ]
)
#: The candidate's weight over the estimate's, if one reading speaks for it, or several.
_AFTER_ONE, _AFTER_MORE = 0.1, 0.3
#: The least that says that the estimate has more than one reading behind it.
_QUARTER = 1


def carried_over(bodies: Sequence[bytes | None]) -> Sequence[bytes | None]:
    """The bodies, with those of format 1 in format 2."""
    if not any(body is not None and body[:1] == FORMER for body in bodies):
        return bodies
    return [
        _carried_over(body) if body is not None and body[:1] == FORMER else body for body in bodies
    ]


def _carried_over(body: bytes) -> bytes:
    rows, rest = divmod(len(body), ENTRY_BYTES)
    window = rows - FORMER_ROWS
    if rest or window < 1:
        return body
    words = np.frombuffer(body, "<u8", offset=FORMER_ROWS * ENTRY_BYTES).reshape(window, 3)
    former = np.frombuffer(body, _FORMER_HEADER, count=1).copy()
    checksum = int(former["checksum"][0])
    former["checksum"] = 0
    entries: tuple[U64, U64, U64] = (words[:, 0], words[:, 1], words[:, 2])
    first = np.zeros(1, np.int64)
    agreeing, support = divmod(int(former["counters"][0]), 16)
    if checksum != checksums(former, entries, first)[0] or former["readings"][0] != window:
        return body
    header = np.zeros(1, HEADER)
    for field in ("readings", "flags", "profile_digest", "time", "hash", "estimate", "newest"):
        header[field] = former[field]
    header["format"] = FORMAT
    if former["flags"][0] & 1:
        header["scale"] = 1.0
        header["learned"] = _QUARTER if support > 1 else 0
    if agreeing:
        others = np.zeros((OTHERS, 6, 1))
        others[0, :WEIGHT, 0] = former["candidate"][0]
        others[0, WEIGHT, 0] = _AFTER_ONE if agreeing == 1 else _AFTER_MORE
        write_others(header, rounded(others))
        header["last"] = former["candidate"][0, 0]
        header["flags"] |= np.uint8(Kind.WRONG) << KIND_BITS[0]
    header["checksum"] = checksums(header, entries, first)
    return header.tobytes() + words.tobytes()
