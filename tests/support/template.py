"""The deployment's resources for tests, made from the template that is deployed."""

import functools
import json
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from kalmap_cli.local.deploy import read_template

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
#: The state machine's definition as it stands, with its substitutions.
DEFINITION_TEXT = (ROOT / "statemachine" / "filter_batch.asl.json").read_text()
_TABLE_PROPERTIES = (
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "GlobalSecondaryIndexes",
)


def definition() -> dict[str, Any]:
    """The state machine's definition before its substitutions."""
    return dict(json.loads(DEFINITION_TEXT))


@functools.cache
def template() -> dict[str, Any]:
    """The deployed template, read once. Do not change it."""
    return read_template(TEMPLATE)


def with_conditions(value: Any, holding: Collection[str]) -> Any:
    """A part of the template where these conditions hold and no others; None for no value."""
    if value == {"Ref": "AWS::NoValue"}:
        return None
    if isinstance(value, dict) and "Fn::If" in value:
        condition, then, otherwise = value["Fn::If"]
        return with_conditions(then if condition in holding else otherwise, holding)
    if isinstance(value, dict):
        values = {name: with_conditions(part, holding) for name, part in value.items()}
        return {name: part for name, part in values.items() if part is not None}
    if isinstance(value, list):
        return [part for part in (with_conditions(p, holding) for p in value) if part is not None]
    return value


def create_tables(client: Any, suffix: str = "") -> dict[str, str]:
    """Create every table of the template, empty; returns the tables' names by logical id.

    Args:
        client: A client of DynamoDB.
        suffix: The end of the tables' names. Existing tables of these names are deleted first.
    """
    replace = bool(suffix)
    suffix = suffix or uuid.uuid4().hex[:12]
    names = {}
    for logical_id, resource in template()["Resources"].items():
        if resource["Type"] == "AWS::DynamoDB::Table":
            properties = resource["Properties"]
            names[logical_id] = f"{logical_id}-{suffix}"
            if replace:
                with suppress(client.exceptions.ResourceNotFoundException):
                    client.delete_table(TableName=names[logical_id])
            client.create_table(
                TableName=names[logical_id],
                **{name: properties[name] for name in _TABLE_PROPERTIES if name in properties},
            )
    return names
