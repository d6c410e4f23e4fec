"""Who may use the local cloud: whoever can read these files of its data directory.

<data dir>/secret      the secret key of every request, made anew at each start of a local cloud
<data dir>/cloud-url   while other commands may use it, its address (see `guests`)
<data dir>/curl        while it is served, for `curl -K`: signs a request to the HTTP API
<data dir>/aws         while it is served, for AWS's tools, as their configuration and credentials
<data dir>/bucket      while it is served, the work bucket's name
<data dir>/api-url     while it is served, the HTTP API's address

All are readable by their owner only, and gone when the local cloud has ended.
"""

import os
import secrets
import stat
from pathlib import Path

from kalmap_cli.errors import WrongUsage

REGION = "us-east-1"
ACCOUNT = "000000000000"
#: The access key that goes with the secret. The emulator takes it for the account's number.
ACCESS_KEY = ACCOUNT

SECRET_FILE = "secret"  # noqa: S105 - a file's name
CLOUD_URL_FILE = "cloud-url"
CURL_CONFIG_FILE = "curl"
AWS_CONFIG_FILE = "aws"
BUCKET_FILE = "bucket"
API_URL_FILE = "api-url"

#: Of a directory's mode: that others may put files into it.
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def check_owner(path: Path) -> None:
    """Use nothing of a data directory whose owner, or a link's, could change it at any time.

    Raises:
        WrongUsage: It belongs to another user.
    """
    if {path.lstat().st_uid, path.stat().st_uid} != {os.geteuid()}:
        raise WrongUsage(
            f"{path} belongs to another user, who could change what kalmap runs and reads. Name "
            f"a directory of your own with --data-dir."
        )


def create_secret(directory: Path) -> str:
    """Make a secret for a local cloud that is about to start, and write it down."""
    remove_access_files(directory)
    secret = secrets.token_hex(32)
    write_private(directory / SECRET_FILE, f"{secret}\n")
    return secret


def remove_access_files(directory: Path) -> None:
    """Remove these files, since no local cloud runs any more for which they hold."""
    for name in (
        CLOUD_URL_FILE,
        API_URL_FILE,
        BUCKET_FILE,
        CURL_CONFIG_FILE,
        AWS_CONFIG_FILE,
        SECRET_FILE,
    ):
        (directory / name).unlink(missing_ok=True)


def read_secret(directory: Path) -> str | None:
    """The secret of the local cloud that runs on a data directory; None when none runs."""
    try:
        return (directory / SECRET_FILE).read_text().strip()
    except FileNotFoundError:
        return None


def curl_configuration(secret: str) -> str:
    """What makes curl sign its requests to the HTTP API."""
    return f'aws-sigv4 = "aws:amz:{REGION}:execute-api"\nuser = "{ACCESS_KEY}:{secret}"\n'


def aws_configuration(endpoint: str, secret: str) -> str:
    """What makes AWS's tools use the local cloud."""
    # Links made by boto3 would else have a signature of the version before, which is not taken.
    signature = "s3 =\n    signature_version = s3v4\n"
    return (
        f"[default]\nregion = {REGION}\nendpoint_url = {endpoint}\n{signature}"
        f"aws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {secret}\n"
    )


def write_private(path: Path, content: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    # The name is new and the mode is given at once: nobody has it open, or opens it in between.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
