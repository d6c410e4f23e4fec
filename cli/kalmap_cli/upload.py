"""Upload files for a batch: under a prefix of their own, in their order, all of them or none."""

import io
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from kalmap.keys import UPLOADS
from kalmap.store.objects import Objects, at_once
from kalmap_cli.file_names import printable, store_file_names
from kalmap_cli.input_files import inflate_file
from kalmap_cli.inputs import Input
from kalmap_cli.local.clients import Clients
from kalmap_cli.stack import Stack

#: S3 takes an upload in at most 10,000 parts. With these parts, 160 GB can be inflated.
_INFLATED = TransferConfig(multipart_chunksize=16 << 20, max_concurrency=2)
#: Files of at most so many bytes are uploaded several at once.
_SMALL = 4 << 20


class Upload(NamedTuple):
    """A file to upload."""

    input: Input
    inflate: bool = False
    """Upload its content inflated. Many workers can read parts of it then, with the same lines."""


def upload_files(clients: Clients, stack: Stack, files: Sequence[Upload]) -> str:
    """Upload files under a new prefix. The same files make a new batch.

    If one cannot be uploaded, those that were are deleted.

    Returns:
        The prefix.

    Raises:
        WrongUsage: A gzipped file turns out to be corrupt.
    """
    prefix = f"{UPLOADS}{uuid.uuid4().hex}/"
    s3 = clients("s3")
    keys = dict(zip(keys_of(prefix, [file.input.name for file in files]), files, strict=True))
    try:
        # Ctrl-C ends a transfer of this thread, but waits for those of others. So only small files
        # are uploaded at once.
        small = [item for item in keys.items() if _is_small(item[1])]
        at_once(lambda item: _upload(s3, stack.bucket, *item), small)
        for key, file in keys.items():
            if not _is_small(file):
                _upload(s3, stack.bucket, key, file)
    except BaseException:
        with suppress(BotoCoreError, ClientError):
            for key in keys:
                s3.delete_object(Bucket=stack.bucket, Key=key)
        raise
    names = {key: printable(file.input.name) for key, file in keys.items()}
    store_file_names(Objects(s3, stack.bucket), prefix, names)
    return prefix


def _is_small(file: Upload) -> bool:
    return not file.inflate and file.input.content.stat().st_size <= _SMALL


def keys_of(prefix: str, names: Sequence[Path]) -> list[str]:
    """The keys of files. The order of their text is that of the files."""
    digits = max(3, len(str(len(names))))
    return [f"{prefix}{n:0{digits}d}-{printable(name.name)}" for n, name in enumerate(names)]


def _upload(s3: Any, bucket: str, key: str, file: Upload) -> None:
    if file.inflate:
        stream = io.BufferedReader(_Stream(inflate_file(file.input)), 1 << 20)
        s3.upload_fileobj(stream, bucket, key, Config=_INFLATED)
    else:
        try:
            s3.upload_file(str(file.input.content), bucket, key)
        except S3UploadFailedError as error:
            # boto3 hides what the cloud has answered.
            raise error.__context__ or error from None


class _Stream(io.RawIOBase):
    """Bytes that come in parts, as a file that can be read once."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts: Iterator[bytes] = iter(parts)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._left = memoryview(part)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
