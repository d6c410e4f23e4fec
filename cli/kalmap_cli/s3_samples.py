"""Tables of other programs in S3: from the beginnings of objects to the mapping of their batch."""

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from kalmap.errors import InputNotFound
from kalmap.plural import counted
from kalmap.records.formats import table_class
from kalmap.store.objects import Objects
from kalmap_cli.deployment import Deployment
from kalmap_cli.errors import WrongUsage
from kalmap_cli.input_files import understand_files
from kalmap_cli.inputs import Input
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.several import common_mapping, describe_files

#: So many objects below a prefix are looked at, out of so many.
_LOOKED_AT = 8
_LISTED = 1000
#: Enough of an object to understand a table of lines, gzipped or not.
_HEAD_BYTES = 1 << 20
#: A table of Arrow or Parquet is understood from all of it.
_TABLE_BYTES = 256 << 20
_OTHERWISE = (
    "Put the mapping into the object's metadata or into the batch's input: `kalmap check FILE` "
    "prints it for a copy, and docs/files.md says where it goes."
)


def with_mapping(
    deployment: Deployment,
    source: dict[str, Any],
    address: str,
    said: Said,
    profile: str | dict[str, Any],
) -> tuple[dict[str, Any], list[str]]:
    """Understand objects in S3 as files are understood.

    Args:
        deployment: Whose client reads them.
        source: Of the batch, without a mapping.
        address: What the user calls it.
        said: What the user says about it.
        profile: A profile's name or content.

    Returns:
        The source with the mapping, if one is needed; and how the objects are read, as sentences.

    Raises:
        WrongUsage: They cannot be read here, or something about them is not certain.
    """
    objects = Objects(deployment.clients("s3"), source["bucket"])
    said = said._replace(instead=f"{shlex.quote(address)}{deployment.options}")
    try:
        keys, told = _keys(objects, source, address)
        with tempfile.TemporaryDirectory(prefix="kalmap-") as folder:
            copies = [Path(folder) / f"{number}" for number in range(len(keys))]
            for key, copy in zip(keys, copies, strict=True):
                copy.write_bytes(_beginning(objects, key))
            inputs = [Input(Path(key), copy) for key, copy in zip(keys, copies, strict=True)]
            understood = understand_files(inputs, said, profile)
            mapping = common_mapping(understood, said)
            told += describe_files(understood)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise WrongUsage(
            f"{address} cannot be read with your own rights ({code}), so kalmap cannot see how it "
            f"is written. {_OTHERWISE}"
        ) from error
    except InputNotFound as error:
        raise WrongUsage(str(error)) from error
    return (source if mapping is None else _mapped(source, mapping)), told


def _mapped(source: Mapping[str, Any], mapping: msgspec.Struct) -> dict[str, Any]:
    return {**source, "mapping": msgspec.to_builtins(mapping)}


def _keys(
    objects: Objects, source: Mapping[str, Any], address: str
) -> tuple[Sequence[str], list[str]]:
    """Keys of objects to look at, and a sentence if they are not all."""
    if "key" in source:
        return [source["key"]], []
    listed = islice(objects.listing(source["prefix"]), _LISTED)
    keys = [each["Key"] for each in listed if each["Size"]]
    if not keys:
        raise WrongUsage(
            f"There is nothing to read below {address}: no object, or only empty ones."
        )
    looked_at = keys[:: -(-len(keys) // _LOOKED_AT)]
    if len(looked_at) == len(keys):
        return keys, []
    return looked_at, [f"{counted(len(looked_at), 'object')} below {address} were looked at."]


def _beginning(objects: Objects, key: str) -> bytes:
    """The beginning of an object; all of it if it is a table of Arrow or Parquet."""
    size = objects.head(key)["ContentLength"]
    head = objects.get(key, 0, min(size, _HEAD_BYTES)) if size else b""
    if table_class(head) is None or len(head) == size:
        return head
    if size > _TABLE_BYTES:
        raise WrongUsage(
            f"s3://{objects.bucket}/{key} has {size:,} bytes, too many to look at a table from "
            f"here. {_OTHERWISE}"
        )
    return objects.get(key)
