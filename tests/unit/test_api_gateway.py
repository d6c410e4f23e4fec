import asyncio

import pytest

from kalmap_cli.local.api_gateway import ApiGateway, path_as_sent

STAGE = "/restapis/id/v1/_user_request_"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/users/a/b", "/users/a%2Fb"),
        ("/users/100%41", "/users/100%2541"),
        ("/users//", "/users/%2F"),
        ("/health", "/health"),
    ],
)
def test_the_api_is_asked_by_the_path_as_it_was_sent(path, sent):
    assert path_as_sent(STAGE + path, STAGE + sent) == STAGE + sent


@pytest.mark.parametrize("sent", ["//health", "/health/", "/users//u-1", "/users/u-1/", "/", ""])
def test_a_path_with_an_empty_part_is_no_route(sent):
    assert path_as_sent(STAGE + sent, STAGE + sent) == f"{STAGE}/no-such-route"


@pytest.mark.parametrize("path", ["/bucket/a//b c/", "/", "/bucket/restapis/_user_request_/"])
def test_other_services_see_their_requests_as_before(path):
    assert path_as_sent(path, "/anything%20else") is None


def test_few_requests_to_the_api_are_answered_at_a_time_and_others_wait_for_none():
    seen, busy, most = [], 0, 0

    async def app(scope, receive, send):
        nonlocal busy, most
        if "_user_request_" in scope["path"]:
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0.01)
            # What the function itself asks of the emulator must not wait for its turn.
            await gateway({"type": "http", "path": "/", "raw_path": b"/"}, receive, send)
            busy -= 1
        else:
            seen.append(scope["path"])

    async def all_at_once():
        path = f"{STAGE}/measurements"
        scope = {"type": "http", "path": path, "raw_path": path.encode()}
        await asyncio.wait_for(asyncio.gather(*(gateway(scope, None, None) for _ in range(20))), 5)

    gateway = ApiGateway(app, at_once=3)
    asyncio.run(all_at_once())
    assert (most, len(seen)) == (3, 20)
