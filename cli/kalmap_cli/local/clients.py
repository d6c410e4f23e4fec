"""boto3 clients of a local cloud. They use nothing of the user's AWS account.

They sign with the local cloud's secret, and read neither AWS variables nor the user's AWS
configuration. Any process that can read the endpoint and the secret
(`kalmap_cli.local.access_files`) can make them.
"""

import os
from collections.abc import Callable
from typing import Any, cast

import boto3.session
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from kalmap_cli.local.access_files import ACCESS_KEY, REGION

#: Makes a boto3 client for a service's name.
Clients = Callable[[str], Any]

#: The user's settings for proxies, FIPS and dual-stack must not redirect requests to 127.0.0.1.
_CONFIG = Config(
    proxies={},
    use_fips_endpoint=False,
    use_dualstack_endpoint=False,
    s3={"addressing_style": "path"},
    retries={"mode": "standard", "max_attempts": 3},
    read_timeout=120,
    max_pool_connections=16,
)


def local_clients(endpoint: str, secret: str) -> Clients:
    """Clients of the local cloud at an address, one for each service."""
    session = cast("Any", _isolated_session(secret))
    clients: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in clients:
            clients[service] = session.client(service, endpoint_url=endpoint, config=_CONFIG)
        return clients[service]

    return client


def signature_headers(url: str, secret: str) -> dict[str, str]:
    """The headers of a signed GET of a URL that no boto3 client can request."""
    request = AWSRequest("GET", url)
    SigV4Auth(Credentials(ACCESS_KEY, secret), "local", REGION).add_auth(request)
    return dict(request.headers)


def _isolated_session(secret: str) -> boto3.session.Session:
    settings: dict[str, tuple[Any, ...]] = {
        name: (in_file, None, default, convert)
        for name, (
            in_file,
            _,
            default,
            convert,
        ) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    settings |= {
        "config_file": (None, None, os.devnull, None),
        "credentials_file": (None, None, os.devnull, None),
    }
    return boto3.session.Session(
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        region_name=REGION,
        botocore_session=botocore.session.Session(session_vars=settings),
    )
