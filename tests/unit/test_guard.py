"""The local cloud's guard answers what AWS's own signers sign, and nothing else."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kalmap_cli.local.access_files import aws_configuration
from kalmap_cli.local.guard import MAX_UNDECLARED_BODY, MAX_UNDECLARED_TOTAL, Guard
from kalmap_cli.local.signature import (
    CLOCK_SKEW,
    MAX_LINK_LIFETIME,
    Refused,
    SentRequest,
    check_time,
    read_signature,
)

PORT = 4999
KEY = Credentials("000000000000", "the secret of this test")
OTHER = Credentials("000000000000", "another secret")
UNKNOWN = Credentials("AKIDEXAMPLE", "the secret of this test")
ADDRESS = f"http://127.0.0.1:{PORT}"
S3 = f"{ADDRESS}/bucket/a%20key/../with%2Fodd%2520signs"
API = f"{ADDRESS}/restapis/id/v1/_user_request_/users/a%20b"
TABLE = {
    "X-Amz-Target": "DynamoDB_20120810.ListTables",
    "Content-Type": "application/x-amz-json-1.0",
}


def signed(method="GET", url=API, body=b"", headers=(), key=KEY, service=None, signer=None):
    """A request that botocore has signed, as (method, target, headers, body)."""
    service = service or ("s3" if url.startswith(S3) else "execute-api")
    signer = signer or (S3SigV4Auth if service == "s3" else SigV4Auth)
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    signer(key, service, "us-east-1").add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    sent = {"Host": parts.netloc} | dict(prepared.headers)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return method, target, list(sent.items()), body


def ask(method, target, headers, body=b"", kind="http", parts=1) -> Any:
    """Send a request to a guarded application that returns what it received."""
    path, _, query = target.partition("?")
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    size = -(-len(body) // parts) or 1
    waiting = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    messages: list[dict[str, Any]] = []

    async def receive():
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message):
        messages.append(message)

    async def app(scope, receive, send):
        got, more = b"", True
        while more:
            message = await receive()
            got, more = got + message["body"], message["more_body"]
        allowed = [(b"Access-Control-Allow-Origin", b"*"), (b"access-control-expose-headers", b"*")]
        await send(
            {"type": "http.response.start", "status": 200, "headers": [*allowed, (b"a", b"b")]}
        )
        await send({"type": "http.response.body", "body": got})

    guard = Guard(app, PORT, {KEY.access_key: KEY.secret_key}.get)
    asyncio.run(guard(scope, receive, send))
    return messages


def status(request, **more):
    messages = ask(*request, **more)
    assert not [
        name for name, _ in messages[0]["headers"] if name.lower().startswith(b"access-control")
    ]
    return messages[0]["status"]


def link(expires=3600, url=S3, key=KEY, method="GET"):
    class Query(S3SigV4QueryAuth):
        def __init__(self, *authorization):
            super().__init__(*authorization, expires=expires)

    return signed(method, url, key=key, service="s3", signer=Query)


def requests(key=KEY):
    """One request of each kind, signed now."""
    url = f"{API}?at=2026-04-01T00%3A00%3A00Z&b=&a=1&a=0"
    retried = {"Idempotency-Key": "k  1"}
    return {
        "an API's": signed(url=url, key=key),
        "an API's body": signed("POST", body=b'{"a": 1}', headers=retried, key=key),
        "a table's": signed("POST", f"{ADDRESS}/", b"{}", TABLE, key, "dynamodb"),
        "an object's": signed("PUT", S3, b"content", key=key),
        "a list's": signed(url=f"{S3}?list-type=2&prefix=a%2Fb", key=key),
        "a link": link(key=key),
        "a link to put": link(key=key, method="PUT"),
    }


@pytest.mark.parametrize("name", requests())
def test_a_request_signed_by_botocore_receives_its_complete_answer(name):
    request_ = requests()[name]
    messages = ask(*request_, parts=3)
    assert messages[0]["status"] == 200
    assert b"".join(message["body"] for message in messages[1:]) == request_[3]
    assert (b"a", b"b") in messages[0]["headers"]


def test_links_of_clients_that_use_the_written_configuration_are_answered(tmp_path, monkeypatch):
    (tmp_path / "aws").write_text(aws_configuration(ADDRESS, KEY.secret_key))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws"))
    client = boto3.session.Session(profile_name="default").client("s3")
    for method, operation in (("GET", "get_object"), ("PUT", "put_object")):
        url = client.generate_presigned_url(operation, Params={"Bucket": "bucket", "Key": "a b"})
        target = url.removeprefix(ADDRESS)
        assert status((method, target, [("Host", f"127.0.0.1:{PORT}")], b"")) == 200


def without(headers, name):
    return [(key, value) for key, value in headers if key.lower() != name]


def header(request, name, value):
    method, target, headers, body = request
    assert len(without(headers, name.lower())) == len(headers) - 1
    return method, target, [*without(headers, name.lower()), (name, value)], body


def tampered():
    """Requests of which one thing is not as it was signed."""
    sound = requests()
    for name, (method, target, headers, body) in sound.items():
        query = "&" if "?" in target else "?"
        yield f"{name}: method", ("DELETE", target, headers, body)
        yield f"{name}: path", (method, target.replace("/", "/x", 1), headers, body)
        yield f"{name}: query", (method, f"{target}{query}x=1", headers, body)
        yield f"{name}: other key", requests(OTHER)[name]
        yield f"{name}: unknown key", requests(UNKNOWN)[name]
        if not name.startswith("a link"):
            yield f"{name}: body", (method, target, headers, body + b" ")
            yield f"{name}: no signature", (method, target, without(headers, "authorization"), body)
    api, put, table = sound["an API's"], sound["an object's"], sound["a table's"]
    authorization = dict(api[2])["Authorization"]
    yield "date", header(api, "X-Amz-Date", "20260101T000000Z")
    yield "region", header(api, "Authorization", authorization.replace("us-east-1", "us-east-2"))
    yield "service", header(api, "Authorization", authorization.replace("execute-api", "s3"))
    yield (
        "signature",
        header(
            api, "Authorization", authorization[:-1] + ("0" if authorization[-1] != "0" else "1")
        ),
    )
    yield "no headers", header(api, "Authorization", authorization.replace("host;x-amz-date", ""))
    yield "other algorithm", header(api, "Authorization", authorization.replace("SHA256", "SHA1"))
    yield "basic", header(api, "Authorization", "Basic bG9jYWw6bG9jYWw=")
    yield "declared body", header(put, "X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")
    yield "signed chunks", header(put, "X-Amz-Content-SHA256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    yield "target", header(table, "X-Amz-Target", "DynamoDB_20120810.DeleteTable")
    yield "unsigned x-amz", (*api[:2], [*api[2], ("X-Amz-Target", "Lambda.Create")], b"")
    yield "no host", (*api[:2], without(api[2], "host"), b"")
    yield "two hosts", (*api[:2], [*api[2], ("Host", f"127.0.0.1:{PORT}")], b"")
    yield "twice signed", (api[0], f"{api[1]}&{sound['a link'][1].partition('?')[2]}", *api[2:])
    got = sound["a link"]
    yield "link: expires", (got[0], got[1].replace("Expires=3600", "Expires=3601"), *got[2:])
    yield "link: header", (*got[:2], [*got[2], ("x-amz-acl", "public-read")], b"")
    yield "link: escape", (got[0], got[1].replace("%2520", "%20"), *got[2:])
    # Other names of an object are other objects.
    yield "link: dots", (got[0], got[1].replace("/bucket/", "/bucket/./"), *got[2:])
    yield "link: slashes", (got[0], got[1].replace("/bucket/", "/bucket//"), *got[2:])


@pytest.mark.parametrize("name", [name for name, _ in tampered()])
def test_a_request_that_is_not_as_it_was_signed_is_refused(name):
    assert status(dict(tampered())[name]) == 403


@pytest.mark.parametrize(
    "more",
    [
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{PORT}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["an API's body", "a link"])
def test_a_browser_page_is_refused_even_with_a_signature(name, more):
    method, target, headers, body = requests()[name]
    assert status((method, target, [*headers, *more.items()], body)) == 403
    assert status(("OPTIONS", target, [*headers, *more.items()], b"")) == 403


@pytest.mark.parametrize("site", ["none", "same-origin"])
def test_a_link_that_is_opened_in_a_browser_is_answered(site):
    method, target, headers, body = requests()["a link"]
    assert status((method, target, [*headers, ("Sec-Fetch-Site", site)], body)) == 200


@pytest.mark.parametrize(
    "host",
    ["example.com", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"example.com:{PORT}",
     f"localhost.example.com:{PORT}", f"bucket.s3.localhost:{PORT}", f"[::1]:{PORT}"],
)  # fmt: skip
def test_another_host_name_is_refused_even_with_a_signature(host):
    assert status(signed(url=f"http://{host}/restapis/id/v1/_user_request_/health")) == 403
    assert status(signed(url=f"http://localhost:{PORT}/restapis/")) == 200


def test_the_query_signature_of_old_curl_versions_is_accepted():
    class AsItStands(SigV4Auth):
        def canonical_query_string(self, request):
            return urlsplit(request.url).query

        def _normalize_url_path(self, path):
            return path

    request = signed(url=f"{API}?b=2026-04-01T00:00:00Z&a=1", signer=AsItStands)
    assert status(request) == 200
    method, target, headers, body = request
    assert status((method, target.replace("a=1", "a=2"), headers, body)) == 403


def test_a_signature_whose_time_is_too_early_or_too_late_is_refused():
    method, target, headers, _ = requests()["an API's"]
    low = {name.lower(): value for name, value in headers}
    signature = read_signature(SentRequest(method, *target.split("?"), low))
    now = datetime.now(UTC)
    check_time(signature, now)
    for wrong in (now + CLOCK_SKEW, now - CLOCK_SKEW):
        with pytest.raises(Refused) as refused:
            check_time(signature, wrong + (wrong - now) / 10)
        assert refused.value.code == "RequestTimeTooSkewed"


def test_a_link_works_until_it_expires_and_no_longer_than_a_week():
    method, target, _, _ = requests()["a link"]
    signature = read_signature(SentRequest(method, *target.split("?"), {}))
    now = datetime.now(UTC)
    check_time(signature, now + timedelta(seconds=3500))
    with pytest.raises(Refused, match="expired"):
        check_time(signature, now + timedelta(seconds=3601))
    assert status(link(int(MAX_LINK_LIFETIME.total_seconds()))) == 200
    assert status(link(int(MAX_LINK_LIFETIME.total_seconds()) + 1)) == 403
    assert status(link(-1)) == 403


def test_a_body_without_a_declared_digest_is_read_up_to_a_limit():
    body = bytes(MAX_UNDECLARED_BODY)
    assert status(signed("POST", body=body)) == 200
    assert status(signed("POST", body=body + b"."), parts=9) == 403
    assert status(signed("PUT", S3, body + b"."), parts=9) == 200


def test_a_websocket_is_closed_before_it_is_open():
    messages = ask(*requests()["an API's"], kind="websocket")
    assert messages == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(
    ("service", "code"),
    [
        ("s3", b"<Error><Code>SignatureDoesNotMatch</Code>"),
        ("dynamodb", b'"SignatureDoesNotMatch"'),
    ],
)
def test_a_refusal_has_the_form_that_the_clients_of_its_service_read(service, code):
    _, body = ask(*signed(url=f"{ADDRESS}/", key=OTHER, service=service))
    assert code in body["body"]
    if service == "dynamodb":
        assert json.loads(body["body"])["__type"] == "SignatureDoesNotMatch"


def test_a_client_that_fills_the_memory_with_unsigned_bodies_does_not_block_others():
    share = MAX_UNDECLARED_BODY // 2
    flood = 2 * MAX_UNDECLARED_TOTAL // share

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": (await receive())["body"]})

    async def ask_all():
        guard = Guard(app, PORT, {KEY.access_key: KEY.secret_key}.get)
        go_on = asyncio.Event()

        async def ask(request, *sizes):
            method, target, headers, _ = request
            scope = {
                "type": "http",
                "method": method,
                "raw_path": target.encode(),
                "query_string": b"",
                "headers": [(name.encode(), value.encode()) for name, value in headers],
            }
            messages = []

            async def come():
                for size in sizes:
                    if size == 1:
                        await go_on.wait()
                    yield {"type": "http.request", "body": bytes(size), "more_body": len(sizes) > 1}
                yield {"type": "http.disconnect"}

            async def send(message):
                messages.append(message)

            await guard(scope, come().__anext__, send)
            return b"".join(message.get("body", b"") for message in messages)

        stalled = signed("POST", key=OTHER)
        others = [asyncio.create_task(ask(stalled, share, 1)) for _ in range(flood)]
        await asyncio.sleep(0)
        ours = await ask(signed("POST", body=bytes(share)), share)
        go_on.set()
        return ours, await asyncio.gather(*others)

    ours, others = asyncio.run(ask_all())
    assert ours == bytes(share)
    dropped = [answer for answer in others if b"SlowDown" in answer]
    # Our request needed memory, too.
    assert len(dropped) == flood - MAX_UNDECLARED_TOTAL // share + 1
