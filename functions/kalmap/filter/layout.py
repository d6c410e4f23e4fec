"""The bytes of a body: its header's fields, and its checksum.

A body is the header `HEADER` and, from byte 144 on, the window readings in key order, 24 bytes
each: u48 microseconds before the newest, u8 source, u8 tag (bit 7), restarted (bit 2) and reason
(bits 0-1), f64 value, u64 hash.
"""

import numpy as np
from numpy.typing import NDArray

from kalmap.filter.algebra import LEVEL, SLOPE
from kalmap.filter.columns import OTHERS, WEIGHT
from kalmap.readings import F64, I64, U64

FORMAT = 2

#: The fields of a header, at their bytes.
HEADER = np.dtype(
    [
        ("format", "u1"),
        # Window readings.
        ("readings", "u1"),
        # Bit 0: a checkpoint exists. Bit 1: the tag of the last key absorbed. Bits 2-3, 4-5 and
        # 6-7: what the last reading is under each hypothesis.
        ("flags", "u1"),
        # Quarters of readings that the scale has learned from.
        ("learned", "u1"),
        ("checksum", "<u4"),
        ("profile_digest", "<u8"),
        # Of the last reading absorbed, in microseconds since 1970 UTC: the checkpoint's as-of time,
        # and the first part of the last key.
        ("time", "<i8"),
        # Of the last key.
        ("hash", "<u8"),
        # Of the heaviest hypothesis: level, slope and their covariance p00, p01, p11.
        ("estimate", "<f8", 5),
        ("scale", "<f8"),
        # Of each other hypothesis.
        ("level", "<f8", OTHERS),
        # Slope, p00, p01, p11.
        ("others", "<f4", (OTHERS, 4)),
        # The upper halves of 32-bit floats.
        ("weight", "<u2", OTHERS),
        ("last", "<f4"),
        # Time of the newest window reading.
        ("newest", "<i8"),
    ]
)
#: Where each hypothesis' kind stands in the flags.
KIND_BITS = np.array([[2], [4], [6]], np.uint8)
#: Odd multipliers of the checksum, one per header word and entry word: multiples of the 64-bit
#: golden ratio (Knuth, TAOCP 3, section 6.4).
_MULTIPLIERS = np.arange(1, 40, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)


def read_others(header: NDArray[np.void]) -> F64:
    """The hypotheses besides the heaviest, (OTHERS, 6, users)."""
    others = np.empty((OTHERS, 6, header.size))
    others[:, LEVEL] = header["level"].T
    others[:, SLOPE:WEIGHT] = header["others"].transpose(1, 2, 0)
    others[:, WEIGHT] = (header["weight"].astype(np.uint32) << 16).view(np.float32).T
    return others


def write_others(header: NDArray[np.void], others: F64) -> None:
    """Write them, rounded as `reduction` does it."""
    header["level"] = others[:, LEVEL].T
    header["others"] = others[:, SLOPE:WEIGHT].transpose(2, 0, 1)
    weight = np.ascontiguousarray(others[:, WEIGHT].T, dtype=np.float32)
    header["weight"] = weight.view(np.uint32) >> 16


def checksums(header: NDArray[np.void], words: tuple[U64, U64, U64], first: I64) -> U64:
    """Checksum of each body, u32 in u64.

    The sum of the rows' hashes. A row's hash is linear in its words and then mixed, so that the
    sum changes when rows exchange words. Any change of one word changes its row's hash.

    Args:
        header: (users,) Of type `HEADER` or an older format's, contiguous, its checksum zero.
        words: The entries' three words, each (entries,).
        first: (users,) Position of each user's first entry.
    """
    mixed, product = words[0] * _MULTIPLIERS[0], np.empty_like(words[0])
    for word, multiplier in zip(words[1:], _MULTIPLIERS[1:3], strict=True):
        mixed += np.multiply(word, multiplier, out=product)
    _mix(mixed)
    sums: U64 = np.add.reduceat(mixed, first)
    header_words = header.view("<u8").reshape(header.size, -1)
    of_header: U64 = header_words @ _MULTIPLIERS[: header_words.shape[1]]
    _mix(of_header)
    sums += of_header
    _mix(sums)
    return sums >> np.uint64(32)


def _mix(words: U64) -> None:
    """Mix high bits into low ones, in place (a step of splitmix64; Steele et al., 2014)."""
    words ^= words >> np.uint64(30)
    words *= np.uint64(0xBF58476D1CE4E5B9)
