"""What the console lets out, whatever its pages do; test_console_access.py has who gets in."""

import asyncio

from kalmap_cli.console.access import COOKIE, Access

FOLDER = "/0123456789abcdef"


def answered(path, *headers, query=b"", status_headers=()):
    """What a request gets from a console whose page answers with some headers."""

    async def page(scope, receive, send):
        start = {"type": "http.response.start", "status": 200, "headers": list(status_headers)}
        await send(start)
        await send({"type": "http.response.body", "body": b"page"})

    sent = []

    async def send(message):
        sent.append(message)

    access = Access(page, FOLDER, 8080)
    host = (b"host", b"127.0.0.1:8080")
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": query,
        "headers": [host, (b"cookie", f"{COOKIE}={access._session}".encode()), *headers],
    }  # fmt: skip
    asyncio.run(access(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def test_a_page_cannot_let_other_sites_read_it():
    allowing = [(b"Access-Control-Allow-Origin", b"*"), (b"timing-allow-origin", b"*")]
    status, headers = answered(f"{FOLDER}/", status_headers=[*allowing, (b"x-own", b"1")])
    assert (status, headers[b"x-own"]) == (200, b"1")
    assert not [name for name in headers if b"allow-origin" in name.lower()]
    assert headers[b"cross-origin-resource-policy"] == b"same-origin"


def test_a_request_that_says_twice_who_sends_it_is_refused():
    for name, value in ((b"sec-fetch-site", b"none"), (b"origin", b"http://127.0.0.1:8080")):
        assert answered(f"{FOLDER}/", (name, value))[0] == 200
        assert answered(f"{FOLDER}/", (name, value), (name, value))[0] == 403


def test_the_answer_to_the_token_is_kept_by_no_cache():
    access = Access(None, FOLDER, 8080)
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/", "query_string":
        access.address.partition("?")[2].encode(), "headers": [(b"host", b"127.0.0.1:8080")],
    }  # fmt: skip
    asyncio.run(access(scope, None, send))
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], headers[b"location"]) == (303, f"{FOLDER}/".encode())
    assert headers[b"cache-control"] == b"no-store"
