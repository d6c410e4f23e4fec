"""Prepare a local cloud that has just started: deploy the stack, let expire what is old."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from kalmap_cli.local.cloud import LocalCloud
from kalmap_cli.local.deploy import STACK, deploy
from kalmap_cli.local.lifecycle import (
    delete_expired_objects,
    let_items_expire,
    read_lifecycle_rules,
)
from kalmap_cli.stack import find_stack


def prepare(
    cloud: LocalCloud,
    parameters: Mapping[str, str],
    *,
    note: Callable[[str], None] = lambda _: None,
) -> None:
    """Deploy the stack if it has changed, and let its objects and items expire.

    Raises:
        RunFailed: The stack could not be deployed or saved.
    """
    if deploy(cloud.clients, parameters, note=note):
        let_items_expire(cloud.clients("cloudformation"), cloud.clients("dynamodb"), STACK)
        # If this process is killed from now on, the saved stack knows its tables.
        cloud.save()
    delete_expired(cloud)


def delete_expired(cloud: LocalCloud) -> None:
    """Delete the objects of the stack's bucket that have expired by now."""
    bucket = find_stack(cloud.clients, STACK).bucket
    rules = read_lifecycle_rules(cloud.clients("cloudformation"), STACK)
    delete_expired_objects(cloud.clients("s3"), bucket, rules, datetime.now(UTC))
