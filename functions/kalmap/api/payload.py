"""How a request's body is read: its type, encoding and size, and the fields that are wrong."""

import re
import zlib
from typing import NamedTuple, TypeVar

import msgspec

from kalmap.errors import InvalidInput, TooLarge, UnsupportedBody
from kalmap.records.gzipped import new_inflater

#: A request to Lambda has at most 6 MB, and its body is in base64.
MAX_SENT_BYTES = 4_400_000
#: Every body may inflate to this many bytes, and a longer one to this many times its length.
#: Readings in JSON shrink to between a tenth and a thirtieth.
_INFLATED_BYTES, _INFLATED_TIMES = 1_000_000, 100
_PATH = re.compile(r"at `\$([^`]*)`")
_NAME = re.compile(r"(?:required|unknown) field `([^`]*)`")
T = TypeVar("T")


class PayloadLimit(NamedTuple):
    """The largest body that a request may have, after it is inflated."""

    size: int
    """Bytes."""
    values: int
    """Values in all its objects and lists. They take more memory than their bytes."""


#: For the records of a batch.
RECORDS_LIMIT = PayloadLimit(10_000_000, 500_000)
#: For a file's name.
NAME_LIMIT = PayloadLimit(10_000, 100)


def measurements_limit(count: int) -> PayloadLimit:
    """The limit for `count` measurements of six fields each, and a profile."""
    size = min(RECORDS_LIMIT.size, max(1_000_000, 2_000 * count))
    return PayloadLimit(size, 32 * count + 1_000)


def read_payload(
    payload: bytes,
    kind: type[T],
    *,
    content_type: str,
    encoding: str,
    limit: PayloadLimit = RECORDS_LIMIT,
) -> T:
    """Decode a request's body.

    Args:
        payload: The bytes of the body as they were sent.
        kind: The type to decode.
        content_type: The request's Content-Type. An empty one counts as JSON.
        encoding: The request's Content-Encoding.
        limit: The largest body to read.

    Raises:
        UnsupportedBody: The type is not JSON, or the encoding is unknown.
        TooLarge: The body is larger than the limit. It was not parsed, and not inflated further.
        InvalidInput: The body is not JSON, or not of this kind. The sentence names the field.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    # curl sends --data as a form unless it is given another type. Such a body is mostly JSON.
    if media_type not in {"", "application/json", "application/x-www-form-urlencoded"}:
        raise UnsupportedBody(
            f"The body's type is {media_type[:60]!r}. Send application/json. Send files of CSV or "
            "JSONL by POST /batches/uploads."
        )
    if len(payload) > MAX_SENT_BYTES:
        raise _too_large(f"has more than {MAX_SENT_BYTES:,} bytes")
    data = _inflate(payload, encoding.strip().lower(), limit.size)
    if len(data) > limit.size:
        raise _too_large(f"has more than {limit.size:,} bytes")
    # Every value but the first of an object or list follows a comma. Texts may have commas, too.
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > limit.values:
        raise _too_large(f"has more than {limit.values:,} values")
    if not data.strip():
        raise InvalidInput("The request has no body. Send a JSON object.")
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The request's body is wrong: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The request's body is not JSON: {error}.") from error


def field_of(message: str) -> str | None:
    """The field that a message of msgspec names, such as `source.key`; None if it names none."""
    path = _PATH.search(message)
    name = _NAME.search(message)
    parts = (path[1].lstrip(".") if path else "", name[1] if name else "")
    return ".".join(part for part in parts if part) or None


def _too_large(fault: str) -> TooLarge:
    return TooLarge(f"The request's body {fault}. Upload it as a file by POST /batches/uploads.")


def _inflate(payload: bytes, encoding: str, limit: int) -> bytes:
    """The body without its encoding. At most `limit` bytes of it are inflated."""
    if encoding in {"", "identity"}:
        return payload
    if encoding != "gzip":
        raise UnsupportedBody(
            f"The body's encoding is {encoding[:60]!r}. Send the body plain or gzipped."
        )
    inflate = new_inflater()
    limit = min(limit, max(_INFLATED_BYTES, _INFLATED_TIMES * len(payload)))
    try:
        data = inflate.decompress(payload, limit)
    except zlib.error as error:
        raise InvalidInput(f"The body is declared as gzip, but it is not: {error}.") from error
    if inflate.unconsumed_tail:
        raise _too_large(f"inflates to more than {limit:,} bytes")
    if not inflate.eof:
        raise InvalidInput("The gzipped body is cut off.")
    if inflate.unused_data.strip(b"\0"):
        raise InvalidInput(
            "The body has bytes after the end of its gzip stream. Send it as one stream."
        )
    return data
