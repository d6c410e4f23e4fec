"""Presigned addresses of objects in the work bucket. An adapter of boto3's signer."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from kalmap_handlers.clients import work_bucket


def sign_get(key: str, seconds: int) -> str:
    """Sign an address that reads an object without credentials."""
    return _sign("get_object", key, seconds)


def sign_put(key: str, seconds: int, metadata: Mapping[str, str] | None = None) -> str:
    """Sign an address that takes an object without credentials, but with this metadata."""
    return _sign("put_object", key, seconds, **({"Metadata": metadata} if metadata else {}))


def _sign(operation: str, key: str, seconds: int, **more: Any) -> str:
    parameters = {"Bucket": work_bucket().bucket, "Key": key, **more}
    return str(_signer().generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds))


@cache
def _signer() -> Any:
    # By default an address names S3's global endpoint, which redirects to the bucket's region. The
    # signature is not valid there, and from newer regions there is no redirect at all.
    regional: Any = {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
    return boto3.client("s3", config=Config(signature_version="s3v4", s3=regional))
