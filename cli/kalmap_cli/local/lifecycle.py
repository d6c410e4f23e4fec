"""The lifecycle rules of the work bucket, which the local cloud neither knows nor applies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

#: Most objects of one request to delete them.
_MOST = 1000


class LifecycleRule(NamedTuple):
    """How long objects are kept whose keys begin so, in days; None for ever."""

    prefix: str
    days: int | None
    days_replaced: int | None
    """Of a version whose place another one took."""


def read_lifecycle_rules(cloudformation: Any, stack: str) -> list[LifecycleRule]:
    """The rules of a deployed stack's buckets, as its template has them."""
    template = cloudformation.get_template(StackName=stack)["TemplateBody"]
    content = json.loads(template) if isinstance(template, str) else template
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    values = {name: declared.get("Default") for name, declared in content["Parameters"].items()}
    values |= {
        given["ParameterKey"]: given["ParameterValue"] for given in described.get("Parameters", ())
    }

    def value(given: Any) -> Any:
        return values[given["Ref"]] if isinstance(given, Mapping) else given

    def days(given: Any) -> int | None:
        return None if given is None else int(value(given))

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


def delete_expired_objects(
    s3: Any, bucket: str, rules: Sequence[LifecycleRule], now: datetime
) -> int:
    """Delete what rules no longer keep at a moment.

    Returns:
        How many versions of objects were deleted.
    """
    due = [
        {"Key": version["Key"], "VersionId": version["VersionId"]}
        for version, replaced in _versions(s3, bucket)
        if any(_is_due(rule, version, replaced, now) for rule in rules)
    ]
    for start in range(0, len(due), _MOST):
        s3.delete_objects(
            Bucket=bucket, Delete={"Objects": due[start : start + _MOST], "Quiet": True}
        )
    return len(due)


def _versions(s3: Any, bucket: str) -> Iterator[tuple[dict[str, Any], datetime | None]]:
    """Every version of every object, and when another took its place."""
    pages = list(s3.get_paginator("list_object_versions").paginate(Bucket=bucket))
    versions = [version for page in pages for version in page.get("Versions", ())]
    markers = [marker for page in pages for marker in page.get("DeleteMarkers", ())]
    newest_first = sorted(
        versions + markers,
        key=lambda entry: (entry["Key"], entry["IsLatest"], entry["LastModified"]),
        reverse=True,
    )
    key: str | None = None
    since: datetime | None = None
    for entry in newest_first:
        replaced = since if entry["Key"] == key else None
        key, since = entry["Key"], entry["LastModified"]
        if "ETag" in entry:
            yield entry, replaced


def _is_due(
    rule: LifecycleRule, version: Mapping[str, Any], replaced: datetime | None, now: datetime
) -> bool:
    if not version["Key"].startswith(rule.prefix):
        return False
    days = rule.days if replaced is None else rule.days_replaced
    return days is not None and now - (replaced or version["LastModified"]) > timedelta(days=days)
