"""What the user called the files of a batch.

In the bucket a file has a key that kalmap chose. Beside the files of an upload, and no part of the
batch, lies an object with the user's own name of each: for this command and for later ones.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from kalmap.store.objects import Objects

#: Where an upload lies.
_UPLOAD = re.compile(r"uploads/[0-9a-f]{32}/")


def printable(name: object) -> str:
    """A file's name on one line, whatever the file system allows in one."""
    return "".join(c if c.isprintable() else "_" for c in str(name))


def keep_names(objects: Objects, prefix: str, names: Mapping[str, str]) -> None:
    """Keep the names of an upload's files, by key, beside them."""
    objects.put(_beside(prefix), msgspec.json.encode(names))


class GivenNames:
    """Looks up names; each upload's are read once.

    Args:
        objects: the bucket of the uploads.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known: dict[str, dict[str, str]] = {}

    def of(self, key: str) -> str:
        """The user's name of an object; its key where it has no other."""
        upload = _UPLOAD.match(key)
        return self._names(upload[0]).get(key, key) if upload else key

    def in_text(self, text: str) -> str:
        """A sentence with the user's names where it names uploaded objects."""
        for found in set(_UPLOAD.findall(text)):
            for key, name in self._names(found).items():
                for written in (f"s3://{self._objects.bucket}/{key}", key):
                    text = text.replace(written, name)
        return text

    def in_summary(self, summary: bytes) -> dict[str, Any]:
        """A batch's summary with the user's names in every sentence of it."""
        content: dict[str, Any] = self._renamed(msgspec.json.decode(summary))
        return content

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, list):
            return [self._renamed(each) for each in value]
        if isinstance(value, dict):
            return {name: self._renamed(each) for name, each in value.items()}
        return value

    def in_lines(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Lines of JSON with a field `file`, which gets the user's name."""
        for line in lines:
            content = msgspec.json.decode(line)
            yield msgspec.json.encode(content | {"file": self.of(content["file"])})

    def _names(self, prefix: str) -> dict[str, str]:
        if prefix not in self._known:
            found = None
            # Whoever may not read it gets the key instead.
            with contextlib.suppress(ClientError):
                found = self._objects.find(_beside(prefix))
            self._known[prefix] = msgspec.json.decode(found, type=dict[str, str]) if found else {}
        return self._known[prefix]


def _beside(prefix: str) -> str:
    return f"{prefix.rstrip('/')}.names.json"
