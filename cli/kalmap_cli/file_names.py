"""The user's own names of the files of a batch.

In the bucket, kalmap chooses the keys of files. Beside the files of each upload, an object that is
no part of the batch maps each key to the user's name, for this command and for later ones.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from kalmap.keys import UPLOADS
from kalmap.store.objects import Objects

#: The prefix of an upload.
_UPLOAD = re.compile(rf"{UPLOADS}[0-9a-f]{{32}}/")

#: Characters of a name that are shown.
_MOST_SHOWN = 36
#: Of many names, so many are shown.
_FIRST = 3


def printable(name: object) -> str:
    """Put a file's name on one line: replace characters that cannot be printed."""
    return "".join(c if c.isprintable() else "_" for c in str(name))


def shortened(name: object) -> str:
    """A name on one line, cut off if it is long."""
    text = printable(name)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def first_of(names: Sequence[str]) -> str:
    """Some names on one line, the first ones of many."""
    return ", ".join(map(shortened, names[:_FIRST])) + (", …" if len(names) > _FIRST else "")


def store_file_names(objects: Objects, prefix: str, names: Mapping[str, str]) -> None:
    """Store the names of an upload's files, by key, beside the files."""
    objects.put(_names_key(prefix), msgspec.json.encode(names))


class FileNames:
    """Looks up names of files. The names of each upload are read once.

    Args:
        objects: The bucket of the uploads.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._names_by_upload: dict[str, dict[str, str]] = {}

    def name_of(self, key: str) -> str:
        """The user's name of an object; its key if it has no other name."""
        upload = _UPLOAD.match(key)
        return self._names(upload[0]).get(key, key) if upload else key

    def replace_keys(self, text: str) -> str:
        """Replace the keys and URLs of uploaded objects in a sentence by the user's names."""
        for upload in set(_UPLOAD.findall(text)):
            for key, name in self._names(upload).items():
                for spelling in (f"s3://{self._objects.bucket}/{key}", key):
                    text = text.replace(spelling, name)
        return text

    def decode_summary(self, summary: bytes) -> dict[str, Any]:
        """Decode a batch's summary, with the user's names in each of its sentences."""
        content: dict[str, Any] = self._with_names(msgspec.json.decode(summary))
        return content

    def _with_names(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.replace_keys(value)
        if isinstance(value, list):
            return [self._with_names(each) for each in value]
        if isinstance(value, dict):
            return {name: self._with_names(each) for name, each in value.items()}
        return value

    def rename_lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Put the user's names into the field `file` of lines of JSON."""
        for line in lines:
            content = msgspec.json.decode(line)
            yield msgspec.json.encode(content | {"file": self.name_of(content["file"])})

    def _names(self, prefix: str) -> dict[str, str]:
        if prefix not in self._names_by_upload:
            encoded = None
            # A user who may not read the object gets the keys.
            with contextlib.suppress(ClientError):
                encoded = self._objects.find(_names_key(prefix))
            names = msgspec.json.decode(encoded, type=dict[str, str]) if encoded else {}
            self._names_by_upload[prefix] = names
        return self._names_by_upload[prefix]


def _names_key(prefix: str) -> str:
    return f"{prefix.rstrip('/')}.names.json"
