"""Deploy template.yaml to the local cloud if it, or a file that it names, has changed.

This does the same as `aws cloudformation package` and `deploy`: it uploads the local paths in
CodeUri and DefinitionUri to S3 under the digest of their content, puts the locations of the
uploads into the template, and passes it to CloudFormation.
"""

import contextlib
import hashlib
import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from botocore.exceptions import ClientError

from kalmap_cli.errors import RunFailed
from kalmap_cli.local.clients import Clients

_PACKAGE = Path(__file__).resolve().parents[1]
#: An installed kalmap has what it deploys in a folder of its own; see pyproject.toml.
_INSTALLED = _PACKAGE / "sam" / "template.yaml"
#: The template that is deployed: the installed one, else that of this checkout.
TEMPLATE = _INSTALLED if _INSTALLED.is_file() else _PACKAGE.parents[1] / "template.yaml"
#: The stack's name on the local cloud.
STACK = "kalmap"

_ARTIFACTS = "kalmap-artifacts"
_DIGEST_TAG = "kalmap:digest"
_TIMEOUT = 120.0
_DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
#: A stack in one of these states can be neither used nor updated. It is deleted.
_UNUSABLE = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
#: The property of each resource type that has a local path.
_LOCAL_PATHS = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
    "AWS::Serverless::Api": "DefinitionUri",
}


def deploy(
    clients: Clients,
    parameters: Mapping[str, str],
    *,
    template: Path = TEMPLATE,
    stack: str = STACK,
    note: Callable[[str], None] = lambda _: None,
) -> bool:
    """Create or update the stack, unless the same content is already deployed.

    Args:
        clients: Of the cloud to deploy to.
        parameters: Values of the template's parameters that differ from their defaults.
        template: A SAM template. Its local paths are relative to its folder.
        stack: The stack's name.
        note: Is called with what is being done, if there is something to do.

    Returns:
        Whether anything was deployed.

    Raises:
        RunFailed: CloudFormation refused or rolled back. The sentence has its reasons.
    """
    if not template.is_file():
        raise RunFailed(
            f"There is no template at {template}: this kalmap is incomplete. Install it again, or "
            f"use a deployed stack with --stack NAME."
        )
    content = read_template(template)
    artifacts = _package(content, template.parent)
    text = json.dumps(content)
    digest = _digest(text.encode(), json.dumps(dict(parameters), sort_keys=True).encode())

    cloudformation = clients("cloudformation")
    existing = _describe(cloudformation, stack)
    if existing and existing["StackStatus"] in _DEPLOYED and _digest_tag(existing) == digest:
        return False
    note("Deploying the stack")
    # A request has room for a template of 51,200 bytes only; one in S3 may have a million.
    template_key = f"{stack}.template"
    _upload(clients("s3"), artifacts | {template_key: text.encode()})
    if existing and existing["StackStatus"] in _UNUSABLE:
        cloudformation.delete_stack(StackName=stack)
        _wait(cloudformation, stack)
        existing = None
    if not existing:
        existing = _import_retained(clients, content, stack)
    action = cloudformation.update_stack if existing else cloudformation.create_stack
    try:
        action(
            StackName=stack,
            TemplateURL=f"{cloudformation.meta.endpoint_url}/{_ARTIFACTS}/{template_key}",
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            Tags=[{"Key": _DIGEST_TAG, "Value": digest}],
        )
    except ClientError as error:
        raise RunFailed(
            f"CloudFormation refused the template: {error.response['Error']['Message']}"
        ) from error
    status = _wait(cloudformation, stack)
    if status not in _DEPLOYED:
        raise RunFailed(
            f"The stack {stack} could not be deployed ({status}): "
            f"{'; '.join(_reasons(cloudformation, stack)) or 'no reason was given'}."
        )
    return True


#: libyaml's, ten times as fast, where PyYAML has it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _TemplateLoader(_Loader):  # type: ignore[misc]
    """Loads YAML with CloudFormation's short tags, and leaves dates as strings."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - yaml reads it from the class
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _long_form(loader: Any, tag: str, node: Any) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_TemplateLoader.add_multi_constructor("!", _long_form)


def read_template(template: Path) -> dict[str, Any]:
    """Read a CloudFormation template, with short tags (`!Sub`) in the long form (`Fn::Sub`)."""
    content: dict[str, Any] = yaml.load(template.read_text(), Loader=_TemplateLoader)  # noqa: S506
    return content


def _package(content: dict[str, Any], folder: Path) -> dict[str, bytes]:
    """Replace the local paths in `content`. Returns the objects to upload, by key."""
    artifacts: dict[str, bytes] = {}

    def replace(properties: dict[str, Any], name: str) -> None:
        path = properties.get(name)
        if not isinstance(path, str) or path.startswith("s3://"):
            return
        local = folder / path
        data = _zip(local) if local.is_dir() else _definition(local.read_bytes())
        key = f"{_digest(data)}{'.zip' if local.is_dir() else local.suffix}"
        artifacts[key] = data
        properties[name] = {"Bucket": _ARTIFACTS, "Key": key}

    replace(content.get("Globals", {}).get("Function", {}), "CodeUri")
    for resource in content["Resources"].values():
        if resource["Type"] in _LOCAL_PATHS:
            replace(resource.setdefault("Properties", {}), _LOCAL_PATHS[resource["Type"]])
    return artifacts


def _definition(text: bytes) -> bytes:
    """Convert a state machine's definition for the local cloud, which has no MaxConcurrencyPath.

    The local cloud replaces a substitution anywhere by a number; AWS does so only in strings.
    """
    return re.sub(
        rb'"MaxConcurrencyPath": "\$\.concurrency\.(\w+)"',
        rb'"MaxConcurrency": ${\1Concurrency}',
        text,
    )


def _zip(folder: Path) -> bytes:
    """Zip a folder. The bytes depend only on the names and contents of its files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as package:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
                entry.external_attr = 0o644 << 16
                package.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def _import_retained(
    clients: Clients, content: Mapping[str, Any], stack: str
) -> dict[str, Any] | None:
    """Create a stack from the tables and the bucket of an earlier stack of this name, if any.

    They are retained when a stack is deleted, and may also outlive a lost record of their stack.
    Without an import, a new stack of the same name would begin with empty tables.
    """
    resources: dict[str, Any] = {}
    imported = []
    for logical, resource in content["Resources"].items():
        retained = str(resource.get("DeletionPolicy")).startswith("Retain")
        if retained and (kind := resource["Type"]) in _RETAINED:
            key, list_names, imports_properties = _RETAINED[kind]
            beginning = f"{stack}-{logical}-".lower()
            names = [name for name in list_names(clients) if name.lower().startswith(beginning)]
            if names:
                properties: dict[str, Any] = {} if imports_properties else {"Properties": {}}
                resources[logical] = resource | properties
                imported.append(
                    {
                        "ResourceType": kind,
                        "LogicalResourceId": logical,
                        "ResourceIdentifier": {key: names[0]},
                    }
                )
    if not imported:
        return None
    cloudformation = clients("cloudformation")
    sections = {
        name: content[name]
        for name in ("AWSTemplateFormatVersion", "Parameters", "Conditions")
        if name in content
    }
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName="attach",
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(sections | {"Resources": resources}),
        ResourcesToImport=imported,
    )
    change_set = {"StackName": stack, "ChangeSetName": "attach"}
    cloudformation.get_waiter("change_set_create_complete").wait(
        **change_set, WaiterConfig={"Delay": 1, "MaxAttempts": int(_TIMEOUT)}
    )
    cloudformation.execute_change_set(**change_set)
    status = _wait(cloudformation, stack)
    if status != "IMPORT_COMPLETE":
        raise RunFailed(
            f"The tables and the bucket of an earlier deployment could not be imported ({status}): "
            f"{'; '.join(_reasons(cloudformation, stack)) or 'no reason was given'}. They are "
            f"unchanged."
        )
    return _describe(cloudformation, stack)


def _tables(clients: Clients) -> list[str]:
    pages = clients("dynamodb").get_paginator("list_tables").paginate()
    return [name for page in pages for name in page["TableNames"]]


def _buckets(clients: Clients) -> list[str]:
    return [bucket["Name"] for bucket in clients("s3").list_buckets()["Buckets"]]


#: For each type of retained resource: the key of its identifier, a function that lists all names,
#: and whether it is imported with the template's properties. A bucket may have lost its settings,
#: so it is imported without any. The next update sets them all.
_RETAINED: dict[str, tuple[str, Callable[[Clients], list[str]], bool]] = {
    "AWS::DynamoDB::Table": ("TableName", _tables, True),
    "AWS::S3::Bucket": ("BucketName", _buckets, False),
}


def _upload(s3: Any, artifacts: Mapping[str, bytes]) -> None:
    # After a kill the bucket may exist without a deployment.
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=_ARTIFACTS)
    for key, data in artifacts.items():
        s3.put_object(Bucket=_ARTIFACTS, Key=key, Body=data)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:32]


def _describe(cloudformation: Any, stack: str) -> dict[str, Any] | None:
    try:
        described: dict[str, Any] = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            return None
        raise
    return None if described["StackStatus"] == "DELETE_COMPLETE" else described


def _digest_tag(stack: Mapping[str, Any]) -> str | None:
    tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", ())}
    return tags.get(_DIGEST_TAG)


def _wait(cloudformation: Any, stack: str) -> str:
    """Wait until the stack no longer changes; returns its status."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        described = _describe(cloudformation, stack)
        status = described["StackStatus"] if described else "DELETE_COMPLETE"
        if not status.endswith("_IN_PROGRESS"):
            return str(status)
        time.sleep(0.1)
    raise RunFailed(f"The stack {stack} was not deployed within {_TIMEOUT:.0f} s.")


def _reasons(cloudformation: Any, stack: str) -> list[str]:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    return [
        f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason")
    ]
