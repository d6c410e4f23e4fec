"""A batch of files: how they are understood, and the source they become when they are uploaded."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from kalmap.records.mapping import Mapping
from kalmap_cli.deployment import Deployment
from kalmap_cli.input_files import is_too_large, understand_files
from kalmap_cli.inputs import Input
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.several import common_mapping, describe_files
from kalmap_cli.upload import Upload, upload_files


class FileBatch(NamedTuple):
    """Files that a batch can read, before they are uploaded."""

    uploads: list[Upload]
    mapping: Mapping | None
    """None if all have kalmap's own formats."""
    told: list[str]
    """How they are read, as sentences."""


def understand_batch(
    files: Sequence[Input], said: Said, profile: str | dict[str, Any]
) -> FileBatch:
    """Check the files of a batch, and find out how each is read.

    Raises:
        WrongUsage: No batch can read one of them, or something about it is not certain.
    """
    understood = understand_files(files, said, profile)
    mapping = common_mapping(understood, said)
    uploads = [
        Upload(each, inflate=file.sample.gzipped and is_too_large(each))
        for each, file in zip(files, understood, strict=True)
    ]
    return FileBatch(uploads, mapping, describe_files(understood))


def upload_batch(deployment: Deployment, batch: FileBatch) -> dict[str, Any]:
    """Upload the files; returns the source of an execution's input."""
    prefix = upload_files(deployment.clients, deployment.stack, batch.uploads)
    source: dict[str, Any] = {"bucket": deployment.stack.bucket, "prefix": prefix}
    if batch.mapping is not None:
        source["mapping"] = msgspec.to_builtins(batch.mapping)
    return source
