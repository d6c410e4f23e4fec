"""A deployed kalmap and its parts. The same on AWS and locally."""

from typing import NamedTuple

from botocore.exceptions import ClientError

from kalmap_cli.errors import WrongUsage
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
