"""Gzip: how gzipped bytes begin, and how they are inflated."""

import zlib

from kalmap.errors import UnknownFormat

#: The first bytes of every gzip member (RFC 1952, section 2.3.1).
MAGIC = b"\x1f\x8b"
#: Makes zlib read gzip's header and trailer, with the largest window.
_GZIP_WBITS = 16 + zlib.MAX_WBITS
#: Bytes that the head of a content is inflated to at most.
_HEAD_BYTES = 256 * 1024


def is_gzipped(head: bytes) -> bool:
    """Whether a content begins like gzip."""
    return head.startswith(MAGIC)


def new_inflater() -> "zlib._Decompress":
    """Make a decompressor of one gzip member."""
    return zlib.decompressobj(wbits=_GZIP_WBITS)


def inflate_head(name: str, head: bytes) -> bytes:
    """Inflate the first bytes of a content. Bytes that are not gzipped stay as they are.

    Args:
        name: The object's or file's name; used in the error's sentence only.
        head: The first bytes of the content; a gzip member may be cut off.

    Raises:
        UnknownFormat: It begins like gzip but is not.
    """
    if not is_gzipped(head):
        return head
    try:
        return new_inflater().decompress(head, _HEAD_BYTES)
    except zlib.error as error:
        raise UnknownFormat(f"{name} begins like gzip but cannot be inflated: {error}.") from error
