"""Inline records: an object of the work bucket whose key is the hash of what it holds.

So the same records are the same batch, by whatever door they come, and every version of the object
holds the same: whoever reads it need not ask for the one that was there when the batch began.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec

from kalmap.errors import InputNotFound
from kalmap.store.objects import Objects

_KEY = re.compile(r"inline/[0-9a-f]{64}\.jsonl")
#: An older object is written anew, so that it is there as long as what a batch makes of it.
_FRESH = timedelta(days=1)


def keep_records(records: Iterable[object], work: Objects, now: datetime) -> str:
    """Put records into the work bucket, unless they are there; gives the key.

    Args:
        records: As decoded JSON.
        work: The work bucket, which forgets its objects after some days.
        now: The time.
    """
    body = b"".join(_line(record) for record in records)
    key = f"inline/{hashlib.sha256(body).hexdigest()}.jsonl"
    try:
        if now - work.head(key)["LastModified"] < _FRESH:
            return key
    except InputNotFound:
        pass
    work.put(key, body)
    return key


def is_named_by_its_content(bucket: str, key: str, work: Objects) -> bool:
    """Whether an object is one of those that `keep_records` puts."""
    return bucket == work.bucket and _KEY.fullmatch(key) is not None


def _line(record: object) -> bytes:
    try:
        return msgspec.json.encode(record) + b"\n"
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8: as an escape it goes on to the parser, which names it.
        return json.dumps(record).encode() + b"\n"
