"""The API's function, called with events as API Gateway makes them, in this process.

Its table and bucket are the local cloud's. What the gateway itself does, and batches, are
tested end to end.
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

from kalmap_cli.local.deploy import read_template
from tests.support.dynamodb import endpoint
from tests.support.template import TEMPLATE, create_tables


class Told(NamedTuple):
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
        }
        for name, value in (environment | settings).items():
            monkeypatch.setenv(name, value)
        self.seconds_left = 29.0
        self.cold_start()

    def cold_start(self) -> None:
        """Forget what a container remembers."""
        importlib.import_module("handlers.http.app")
        for name, module in tuple(sys.modules.items()):
            if name.startswith("handlers."):
                for value in vars(module).values():
                    if hasattr(value, "cache_clear"):
                        value.cache_clear()

    def call(self, method: str, resource: str, body: object = None, **more: Any) -> Told:
        """A request; for what more there may be in it see `event`."""
        event = self.event(method, resource, body, **more)
        context = SimpleNamespace(
            function_name="ApiFunction",
            memory_limit_in_mb="1024",
            invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:ApiFunction",
            aws_request_id=uuid.uuid4().hex,
            get_remaining_time_in_millis=lambda: int(1000 * self.seconds_left),
        )
        handler = importlib.import_module("handlers.http.app").handler
        told = json.loads(json.dumps(handler(event, context)))
        data = told["body"].encode()
        if told.get("isBase64Encoded"):
            data = base64.b64decode(data)
        got = {k: v[0] for k, v in (told.get("multiValueHeaders") or {}).items()}
        got |= told.get("headers") or {}
        text = gzip.decompress(data) if got.get("Content-Encoding") == "gzip" else data
        return Told(told["statusCode"], got, json.loads(text), data)

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
        """A request as API Gateway gives it to the function; headers are named with underscores."""
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

    def post(self, records: list, **more: Any) -> Told:
        return self.call("POST", "/measurements", {"measurements": records}, **more)


def declared_settings() -> dict[str, str]:
    """The API function's environment in the template, by name, with the parameters' names."""
    function = read_template(TEMPLATE)["Resources"]["ApiFunction"]["Properties"]
    return {
        name: value.get("Ref", "") if isinstance(value, dict) else value
        for name, value in function["Environment"]["Variables"].items()
    }
