"""The API's function, called with events as API Gateway makes them, in this process.

Its table and bucket are those of the local cloud. The end-to-end tests cover the gateway and
batches.
"""

import base64
import gzip
import importlib
import json
import sys
import uuid
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlencode

import boto3

from tests.support.dynamodb import endpoint
from tests.support.template import create_tables


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any
    raw: bytes


class Api:
    """The function as one warm container."""

    def __init__(self, monkeypatch, **settings: str) -> None:
        self.dynamodb = boto3.client("dynamodb", endpoint_url=endpoint())
        self.s3 = boto3.client("s3", endpoint_url=endpoint())
        self.bucket = f"work-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.bucket)
        self.tables = create_tables(self.dynamodb)
        environment = {
            "AWS_ENDPOINT_URL": endpoint(),
            "WORK_BUCKET": self.bucket,
            "STATES_TABLE": self.tables["StatesTable"],
            "BATCHES_TABLE": self.tables["BatchesTable"],
            "IDEMPOTENCY_TABLE": self.tables["IdempotencyTable"],
            "STATE_MACHINE": "arn:aws:states:us-east-1:000000000000:stateMachine:none",
            # Libraries that other tests import are no part of a container's memory.
            "BATCH_MEMORY_LIMIT_MB": "8192",
        }
        for name, value in (environment | settings).items():
            monkeypatch.setenv(name, value)
        self.seconds_left = 29.0
        self.cold_start()

    def cold_start(self) -> None:
        """Forget what a container remembers."""
        importlib.import_module("kalmap_handlers.http.app")
        for name, module in tuple(sys.modules.items()):
            if name.startswith("kalmap_handlers."):
                for value in vars(module).values():
                    if hasattr(value, "cache_clear"):
                        value.cache_clear()

    def call(self, method: str, resource: str, body: object = None, **more: Any) -> Response:
        """Send a request. `event` describes its parts."""
        event = self.event(method, resource, body, **more)
        context = SimpleNamespace(
            function_name="ApiFunction",
            memory_limit_in_mb="1024",
            invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:ApiFunction",
            aws_request_id=uuid.uuid4().hex,
            get_remaining_time_in_millis=lambda: int(1000 * self.seconds_left),
        )
        handler = importlib.import_module("kalmap_handlers.http.app").handler
        answer = json.loads(json.dumps(handler(event, context)))
        data = answer["body"].encode()
        if answer.get("isBase64Encoded"):
            data = base64.b64decode(data)
        headers = {k: v[0] for k, v in (answer.get("multiValueHeaders") or {}).items()}
        headers |= answer.get("headers") or {}
        text = gzip.decompress(data) if headers.get("Content-Encoding") == "gzip" else data
        return Response(answer["statusCode"], headers, json.loads(text), data)

    def event(
        self,
        method: str,
        resource: str,
        body: object = None,
        *,
        query: dict[str, str] | None = None,
        path: dict[str, str] | None = None,
        raw: bytes | None = None,
        **headers: str,
    ) -> dict[str, Any]:
        """A request as API Gateway passes it on. Arguments name headers with underscores."""
        sent = raw if raw is not None else None if body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = parse_qs(urlencode(query or {}))
        return {
            "resource": resource,
            "path": resource.format(**(path or {})),
            "httpMethod": method,
            "headers": named,
            "multiValueHeaders": {name: [value] for name, value in named.items()},
            "queryStringParameters": query,
            "multiValueQueryStringParameters": asked or None,
            "pathParameters": path,
            "requestContext": {"requestId": f"request-{uuid.uuid4().hex}", "identity": {}},
            "body": None if sent is None else base64.b64encode(sent).decode(),
            "isBase64Encoded": sent is not None,
        }

    def post(self, records: list, **more: Any) -> Response:
        return self.call("POST", "/measurements", {"measurements": records}, **more)


#: A profile that is not built in.
CHICKS = {
    "name": "chicks", "unit": "g", "range": [1, 1000], "level_noise": 1.0, "slope_noise": 0.5,
    "slope_damping": 0.0, "slope_prior": 5.0, "measurement_noise": 2.0,
}  # fmt: skip


def assert_problem(response: Response, status: int, code: str, field: str | None = None) -> None:
    """Check that a response is a problem with this status and code, in the form of all problems."""
    assert response.status == status
    assert response.body["code"] == code
    assert response.body["field"] == field
    assert response.body["message"].endswith((".", "?"))
    assert response.body["request_id"].startswith("request-")
    assert set(response.body) == {"code", "message", "field", "request_id"}
