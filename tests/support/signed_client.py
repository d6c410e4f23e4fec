"""A client of the HTTP API: it sends signed requests through the gateway."""

import json
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kalmap_cli.commands.serve import api_address
from kalmap_cli.local.access_files import ACCESS_KEY, REGION
from kalmap_cli.local.cloud import LocalCloud


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


class Client:
    """A caller with credentials. Safe to use from several threads."""

    def __init__(self, cloud: LocalCloud, connections: int = 8) -> None:
        self.address = api_address(cloud)
        self._key = Credentials(ACCESS_KEY, cloud.secret)
        self._http = urllib3.PoolManager(maxsize=connections, retries=False)

    def call(self, method: str, path: str, body: object = None, **more: Any) -> Response:
        """Send a signed request."""
        query = more.pop("query", None)
        url = f"{self.address}{path}" + (f"?{urlencode(query)}" if query else "")
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        request = AWSRequest(method, url, data=data, headers=headers)
        SigV4Auth(self._key, "execute-api", REGION).add_auth(request)
        sent = request.prepare()
        response = self._http.request(method, sent.url, body=sent.body, headers=dict(sent.headers))
        return Response(response.status, dict(response.headers), json.loads(response.data))

    def get(self, path: str, **query: str) -> Response:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: object = None, **headers: str) -> Response:
        return self.call("POST", path, body, **headers)
