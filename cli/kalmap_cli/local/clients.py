"""Clients of a local cloud: AWS's own, signing with its secret, and nothing of the user's account.

They read neither AWS variables nor the user's configuration files. Whoever has the endpoint and
the secret (`kalmap_cli.local.access`) of a local cloud can make them, also from another process.
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

from kalmap_cli.local.access import ACCESS_KEY, REGION

#: Makes a boto3 client for a service's name.
Clients = Callable[[str], Any]

#: No proxy, FIPS or dual-stack setting of the user's may come between us and 127.0.0.1.
_CLIENT = Config(
    proxies={},
    use_fips_endpoint=False,
    use_dualstack_endpoint=False,
    s3={"addressing_style": "path"},
    retries={"mode": "standard", "max_attempts": 3},
    read_timeout=120,
    max_pool_connections=16,
)


def local_clients(endpoint: str, secret: str) -> Clients:
    """Clients of the local cloud at an address, each made once."""
    session = cast("Any", _isolated_session(secret))
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(service, endpoint_url=endpoint, config=_CLIENT)
        return made[service]

    return client


def signature_headers(url: str, secret: str) -> dict[str, str]:
    """The headers of a signed GET of a local cloud's address that no client has a call for."""
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
