"""Prepare a local cloud that has just started: deploy the stack, delete expired objects."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.deploy import STACK, deploy
from kalmap_cli.local.lifecycle import delete_expired_objects, read_lifecycle_rules
from kalmap_cli.stack import find_stack


def prepare(
    cloud: LocalCloud,
    parameters: Mapping[str, str],
    *,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Deploy the stack if it has changed, and delete the expired objects of its bucket.

    Raises:
        RunFailed: The stack could not be deployed or saved.
    """
    if deploy(cloud.clients, parameters, note=note):
        # If this process is killed from now on, the saved stack knows its tables.
        cloud.save()
    bucket = find_stack(cloud.clients, STACK).bucket
    rules = read_lifecycle_rules(cloud.clients("cloudformation"), STACK)
    delete_expired_objects(cloud.clients("s3"), bucket, rules, datetime.now(UTC))
