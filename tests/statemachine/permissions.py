"""What each function asks of AWS, recorded, and what its policies in the template allow."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from tests.statemachine.engine import Engine

#: An IAM action and the kind of resource it is for.
Permission = tuple[str, str]


@contextmanager
def recorded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, set[Permission]]]:
    """Every permission that each function needed while the block lasted.

    The steps of one execution follow each other, so a call belongs to the function that was
    invoked last.
    """
    used: dict[str, set[Permission]] = defaultdict(set)
    invoked: list[str] = []
    clients: list[Any] = []
    invoke, call = engine.invoke, BaseClient._make_api_call

    def note_function(function: str, event: dict[str, Any]) -> Any:
        invoked.append(function)
        try:
            return invoke(function, event)
        finally:
            invoked.remove(function)

    def note_client(*args: Any, **options: Any) -> Any:
        clients.append(boto3.client(*args, **options))
        return clients[-1]

    def note_call(self: Any, operation: str, request: dict[str, Any]) -> Any:
        # The interpreter and the tests call, too, with clients of their own.
        if any(self is client for client in clients):
            used[invoked[-1]] |= set(needed(engine, operation, request))
        return call(self, operation, request)

    monkeypatch.setattr("handlers.edge.boto3", SimpleNamespace(client=note_client))
    monkeypatch.setattr(engine, "invoke", note_function)
    monkeypatch.setattr(BaseClient, "_make_api_call", note_call)
    yield used
    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def needed(engine: Engine, operation: str, request: dict[str, Any]) -> Iterator[Permission]:
    """The permissions that a call needs, by AWS's service authorization reference."""
    if operation in {"GetObject", "HeadObject", "PutObject", "ListObjectsV2"}:
        yield from _of_s3(operation, request)
        return
    if operation == "DescribeExecution":
        yield "states:DescribeExecution", "filter-batch"
        return
    tables = {name: logical_id for logical_id, name in engine.tables.items()}
    if operation == "BatchExecuteStatement":
        for statement in request["Statements"]:
            verb = statement["Statement"].split()[0].capitalize()
            table = re.findall(r'"([^"]+)"', statement["Statement"])[0]
            yield f"dynamodb:PartiQL{verb}", tables[table]
    elif operation == "TransactWriteItems":
        for item in request["TransactItems"]:
            [(kind, action)] = item.items()
            yield f"dynamodb:{kind}Item", tables[action["TableName"]]
    elif operation in {"BatchGetItem", "BatchWriteItem"}:
        for table in request["RequestItems"]:
            yield f"dynamodb:{operation}", tables[table]
    else:
        index = f"/index/{request['IndexName']}" if "IndexName" in request else ""
        yield f"dynamodb:{operation}", tables[request["TableName"]] + index


def _of_s3(operation: str, request: dict[str, Any]) -> Iterator[Permission]:
    if operation == "ListObjectsV2":
        yield "s3:ListBucket", _folder(request["Prefix"])
        return
    folder = _folder(request["Key"])
    if operation == "PutObject":
        yield "s3:PutObject", folder
    else:
        version = "Version" if "VersionId" in request else ""
        yield f"s3:GetObject{version}", folder
        # Without it a missing object is answered as a forbidden one.
        yield "s3:ListBucket", folder


def _folder(key: str) -> str:
    first = key.split("/", 1)[0]
    return first if first in {"batches", "inline"} else "*"


def allowed(template: dict[str, Any], function: str) -> set[Permission]:
    """The permissions that a function's policies allow."""
    found: set[Permission] = set()
    for policy in template[function]["Properties"].get("Policies", []):
        if "Ref" in policy:
            policy = template[policy["Ref"]]["Properties"]["PolicyDocument"]  # noqa: PLW2901
        for statement in policy["Statement"]:
            actions = statement["Action"]
            resources = statement["Resource"]
            for resource in resources if isinstance(resources, list) else [resources]:
                for action in actions if isinstance(actions, list) else [actions]:
                    for where in _where(resource, statement.get("Condition", {})):
                        found.add((action, where))
    return found


def _where(resource: Any, condition: Any) -> list[str]:
    if "Fn::If" in resource:  # another input bucket, where one is named
        return []
    if "Fn::GetAtt" in resource:
        name = resource["Fn::GetAtt"][0]
        prefixes = condition.get("StringLike", {}).get("s3:prefix", "*")
        return [_folder(prefixes)] if name == "WorkBucket" else [name]
    text = resource["Fn::Sub"]
    if ":execution:" in text:
        return [text.rsplit("${AWS::StackName}-")[-1].split(":")[0]]
    if text.startswith("${WorkBucket.Arn}/"):
        return [_folder(text.removeprefix("${WorkBucket.Arn}/"))]
    return [text.replace("${", "").replace(".Arn}", "")]
