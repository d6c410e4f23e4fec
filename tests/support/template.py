"""The deployment's resources for tests, made from the very template that is deployed."""

import json
import uuid
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


def create_tables(client: Any) -> dict[str, str]:
    """Create every table of the template; gives the tables' names by logical id."""
    resources = read_template(TEMPLATE)["Resources"]
    names = {}
    for logical_id, resource in resources.items():
        if resource["Type"] == "AWS::DynamoDB::Table":
            given = resource["Properties"]
            names[logical_id] = f"{logical_id}-{uuid.uuid4().hex[:12]}"
            client.create_table(
                TableName=names[logical_id],
                **{name: given[name] for name in _TABLE_PROPERTIES if name in given},
            )
    return names
