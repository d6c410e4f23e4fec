"""What a local cloud needs after its start: the stack, kept from then on, and room."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from kalmap_cli.drive import find_stack
from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.deploy import STACK, deploy
from kalmap_cli.local.expiry import expire, rules_of


def prepare(
    cloud: LocalCloud,
    parameters: Mapping[str, str],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Deploy the stack where it has changed, and delete what its bucket no longer keeps.

    Raises:
        RunFailed: It could not be deployed, or not be saved.
    """
    if deploy(cloud.clients, parameters, say=say):
        # A kill from now on leaves a stack that knows its tables.
        cloud.save()
    bucket = find_stack(cloud.clients, STACK).bucket
    rules = rules_of(cloud.clients("cloudformation"), STACK)
    expire(cloud.clients("s3"), bucket, rules, datetime.now(UTC))
