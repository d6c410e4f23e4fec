"""The files of a data directory that give access to its local cloud.

<data dir>/secret      the secret key that signs all requests, new at each start of a local cloud
<data dir>/cloud-url   the local cloud's address, while other commands may use it (see `guests`)
<data dir>/curl        during `kalmap serve`: makes `curl -K` sign requests to the HTTP API
<data dir>/aws         during `kalmap serve`: configuration and credentials for AWS's tools
<data dir>/bucket      during `kalmap serve`: the work bucket's name
<data dir>/console-url during `kalmap serve`: the address that opens the console in a browser
<data dir>/api-url     during `kalmap serve`: the HTTP API's address

Only the owner can read them. They are removed when the local cloud ends.
"""

import os
import secrets
import stat
from pathlib import Path

from kalmap_cli.errors import WrongUsage

REGION = "us-east-1"
ACCOUNT = "000000000000"
#: The access key that goes with the secret. ministack reads the account's number from it.
ACCESS_KEY = ACCOUNT

SECRET_FILE = "secret"  # noqa: S105 - a file's name
CLOUD_URL_FILE = "cloud-url"
CURL_CONFIG_FILE = "curl"
AWS_CONFIG_FILE = "aws"
BUCKET_FILE = "bucket"
API_URL_FILE = "api-url"
CONSOLE_URL_FILE = "console-url"

#: Bits of a directory's mode that let other users put files into it.
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_owner(path: Path) -> None:
    """Refuse a path of another user, who could change it at any time.

    Raises:
        WrongUsage: The path, or the target of a link, belongs to another user.
    """
    if {path.lstat().st_uid, path.stat().st_uid} != {os.geteuid()}:
        raise WrongUsage(
            f"{path} belongs to another user, who could change what kalmap runs and reads. Name "
            f"a directory of your own with --data-dir."
        )


def create_secret(directory: Path) -> str:
    """Create the secret of a local cloud that is about to start, and write its file."""
    remove_access_files(directory)
    secret = secrets.token_hex(32)
    write_private(directory / SECRET_FILE, f"{secret}\n")
    return secret


def remove_access_files(directory: Path) -> None:
    """Remove all these files when their local cloud has ended."""
    for name in (
        CLOUD_URL_FILE,
        API_URL_FILE,
        CONSOLE_URL_FILE,
        BUCKET_FILE,
        CURL_CONFIG_FILE,
        AWS_CONFIG_FILE,
        SECRET_FILE,
    ):
        (directory / name).unlink(missing_ok=True)


def read_secret(directory: Path) -> str | None:
    """The secret of the local cloud of a data directory; None if none is running."""
    try:
        return (directory / SECRET_FILE).read_text().strip()
    except FileNotFoundError:
        return None


def curl_configuration(secret: str) -> str:
    """A configuration that makes curl sign its requests to the HTTP API."""
    return f'aws-sigv4 = "aws:amz:{REGION}:execute-api"\nuser = "{ACCESS_KEY}:{secret}"\n'


def aws_configuration(endpoint: str, secret: str) -> str:
    """A configuration that makes AWS's tools use the local cloud."""
    # By default boto3 signs presigned links with version 2, which the local cloud refuses.
    signature = "s3 =\n    signature_version = s3v4\n"
    return (
        f"[default]\nregion = {REGION}\nendpoint_url = {endpoint}\n{signature}"
        f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n"
    )


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, completely or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # A new file with its mode set at creation: no other process can have it open.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
