"""The lifecycle rules of a bucket, which S3 applies by itself and the local cloud does not."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

#: Most objects of one request to delete them.
_MOST = 1000


def expire(s3: Any, bucket: str, now: datetime) -> int:
    """Delete what the bucket's lifecycle rules no longer keep at a moment.

    Returns:
        How many versions of objects were deleted.
    """
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
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
    rule: dict[str, Any], version: dict[str, Any], replaced: datetime | None, now: datetime
) -> bool:
    prefix = rule.get("Prefix") or rule.get("Filter", {}).get("Prefix") or ""
    if rule["Status"] != "Enabled" or not version["Key"].startswith(prefix):
        return False
    if replaced is None:
        days, since = rule.get("Expiration", {}).get("Days"), version["LastModified"]
    else:
        days, since = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"), replaced
    return days is not None and now - since > timedelta(days=days)
