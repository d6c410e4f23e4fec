import pytest

from kalmap_cli.local.api_gateway import path_as_sent

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
def test_the_api_receives_the_path_unchanged(path, sent):
    assert path_as_sent(STAGE + path, STAGE + sent) == STAGE + sent


@pytest.mark.parametrize("sent", ["//health", "/health/", "/users//u-1", "/users/u-1/", "/", ""])
def test_a_path_with_an_empty_part_is_no_route(sent):
    assert path_as_sent(STAGE + sent, STAGE + sent) == f"{STAGE}/no-such-route"


@pytest.mark.parametrize("path", ["/bucket/a//b c/", "/", "/bucket/restapis/_user_request_/"])
def test_other_services_see_their_requests_as_before(path):
    assert path_as_sent(path, "/anything%20else") == path
