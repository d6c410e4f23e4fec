"""Inline records: an object of the work bucket whose key is the hash of its content.

So the same records are the same batch, whether they come by the API or by StartExecution. Every
version of the object has the same content, so a batch may read any of them.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from kalmap.errors import InputNotFound
from kalmap.keys import INLINE
from kalmap.store.objects import Objects

_KEY = re.compile(rf"{INLINE}[0-9a-f]{{64}}\.jsonl")
#: An older object is put again, so that it does not expire before the batch's results do.
_FRESH = timedelta(days=1)


def store_records(records: Iterable[object], work: Objects, now: datetime) -> str:
    """Put records into the work bucket, unless they are there; returns the key.

    Args:
        records: As decoded JSON.
        work: The work bucket, whose objects expire after some days.
        now: The time.
    """
    content = b"".join(_line(record) for record in records)
    key = f"{INLINE}{hashlib.sha256(content).hexdigest()}.jsonl"
    try:
        if now - work.head(key)["LastModified"] < _FRESH:
            return key
    except InputNotFound:
        pass
    work.put(key, content)
    return key


def is_named_by_its_content(bucket: str, key: str, work: Objects) -> bool:
    """Whether an object is one that `store_records` has put."""
    return bucket == work.bucket and _KEY.fullmatch(key) is not None


def _line(record: object) -> bytes:
    try:
        return msgspec.json.encode(record) + b"\n"
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8. It stays an escape, and the parser refuses it by name.
        return json.dumps(record).encode() + b"\n"
