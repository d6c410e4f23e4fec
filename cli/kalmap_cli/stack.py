"""A deployed kalmap: its parts, and the upload of files to it. The same on AWS and locally."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from botocore.exceptions import ClientError

from kalmap.keys import UPLOADS
from kalmap.store.objects import Objects
from kalmap_cli.errors import WrongUsage
from kalmap_cli.file_names import printable, store_file_names
from kalmap_cli.local.clients import Clients


class Stack(NamedTuple):
    """The parts of a deployed kalmap."""

    state_machine: str
    """ARN."""
    bucket: str
    states_table: str
    batches_table: str


def find_stack(clients: Clients, name: str) -> Stack:
    """Find a deployed stack by its name.

    Raises:
        WrongUsage: There is no stack of this name, or it does not have kalmap's outputs.
    """
    try:
        stack = clients("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise WrongUsage(
                f"There is no stack named {name} in this account and region. Deploy one with "
                f"`sam deploy`, or name another with --stack."
            ) from error
        raise
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
    try:
        return Stack(
            outputs["StateMachineArn"],
            outputs["WorkBucket"],
            outputs["StatesTable"],
            outputs["BatchesTable"],
        )
    except KeyError as error:
        raise WrongUsage(
            f"The stack {name} is not a deployed kalmap: it has no output {error}."
        ) from error


def upload_files(clients: Clients, stack: Stack, files: Sequence[Path]) -> str:
    """Upload files, in their order, under a new prefix. The same files make a new batch.

    Returns:
        The prefix.
    """
    prefix = f"{UPLOADS}{uuid.uuid4().hex}/"
    s3 = clients("s3")
    keys = {f"{prefix}{n:03d}-{printable(file.name)}": file for n, file in enumerate(files)}
    for key, file in keys.items():
        s3.upload_file(str(file), stack.bucket, key)
    names = {key: printable(file) for key, file in keys.items()}
    store_file_names(Objects(s3, stack.bucket), prefix, names)
    return prefix
