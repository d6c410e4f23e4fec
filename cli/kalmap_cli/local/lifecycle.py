"""Let objects and items expire by the template's rules, because ministack does not.

AWS deletes them all the time. Here that is done at each start, and every hour by `kalmap serve`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

#: Maximum number of objects in one DeleteObjects request.
_MAX_DELETED = 1000


class LifecycleRule(NamedTuple):
    """After how many days the objects below a prefix expire; None for never."""

    prefix: str
    days: int | None
    days_replaced: int | None
    """For a version that a newer one has replaced, counted from then."""


def read_lifecycle_rules(cloudformation: Any, stack: str) -> list[LifecycleRule]:
    """The rules of a deployed stack's buckets, from its template."""
    content = _template(cloudformation, stack)
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    values = {name: declared.get("Default") for name, declared in content["Parameters"].items()}
    values |= {
        parameter["ParameterKey"]: parameter["ParameterValue"]
        for parameter in described.get("Parameters", ())
    }

    def value(node: Any) -> Any:
        return values[node["Ref"]] if isinstance(node, Mapping) else node

    def days(node: Any) -> int | None:
        return None if node is None else int(value(node))

    return [
        LifecycleRule(
            value(rule.get("Prefix", "")),
            days(rule.get("ExpirationInDays")),
            days(rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")),
        )
        for resource in content["Resources"].values()
        if resource["Type"] == "AWS::S3::Bucket"
        for rule in resource["Properties"].get("LifecycleConfiguration", {}).get("Rules", ())
        if rule["Status"] == "Enabled"
    ]


def let_items_expire(cloudformation: Any, dynamodb: Any, stack: str) -> None:
    """Turn on the time to live of a stack's tables, which ministack makes without it."""
    for name, resource in _template(cloudformation, stack)["Resources"].items():
        if resource["Type"] != "AWS::DynamoDB::Table":
            continue
        if setting := resource["Properties"].get("TimeToLiveSpecification"):
            described = cloudformation.describe_stack_resource(
                StackName=stack, LogicalResourceId=name
            )
            table = described["StackResourceDetail"]["PhysicalResourceId"]
            dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=setting)


def delete_expired_objects(
    s3: Any, bucket: str, rules: Sequence[LifecycleRule], now: datetime
) -> int:
    """Delete the versions of objects that have expired by `now`.

    Returns:
        How many versions were deleted.
    """
    expired = [
        {"Key": version["Key"], "VersionId": version["VersionId"]}
        for version, replaced in _versions(s3, bucket)
        if any(_is_expired(rule, version, replaced, now) for rule in rules)
    ]
    for start in range(0, len(expired), _MAX_DELETED):
        objects = expired[start : start + _MAX_DELETED]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    return len(expired)


def _template(cloudformation: Any, stack: str) -> dict[str, Any]:
    template = cloudformation.get_template(StackName=stack)["TemplateBody"]
    content: dict[str, Any] = json.loads(template) if isinstance(template, str) else template
    return content


def _versions(s3: Any, bucket: str) -> Iterator[tuple[dict[str, Any], datetime | None]]:
    """Each version of each object, with the time when a newer one replaced it."""
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket))
    versions = [version for page in pages for version in page.get("Versions", ())]
    markers = [marker for page in pages for marker in page.get("DeleteMarkers", ())]
    newest_first = sorted(
        versions + markers,
        key=lambda entry: (entry["Key"], entry["IsLatest"], entry["LastModified"]),
        reverse=True,
    )
    key: str | None = None
    newer: datetime | None = None
    for entry in newest_first:
        replaced = newer if entry["Key"] == key else None
        key, newer = entry["Key"], entry["LastModified"]
        if "ETag" in entry:
            yield entry, replaced


def _is_expired(
    rule: LifecycleRule, version: Mapping[str, Any], replaced: datetime | None, now: datetime
) -> bool:
    if not version["Key"].startswith(rule.prefix):
        return False
    days = rule.days if replaced is None else rule.days_replaced
    return days is not None and now - (replaced or version["LastModified"]) > timedelta(days=days)
