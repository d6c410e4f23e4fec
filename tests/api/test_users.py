"""GET /users/{id}: a user's state, or its prediction."""

from urllib.parse import quote

import pytest

from tests.support.api_function import CHICKS, assert_problem
from tests.support.both_paths import reading
from tests.support.dynamodb_faults import THROTTLED, Injector


def test_a_state_is_shown_with_its_interval(api):
    api.post([reading("u-1", 24 * day, 80.0 + day / 10) for day in range(5)])
    response = api.call("GET", "/users/{user_id}", path={"user_id": "u-1"})
    view = response.body
    assert view["as_of"] == "2026-01-14T00:00:00Z"
    assert (view["readings"], view["rejected"], view["unit"]) == (5, 0, "kg")
    assert view["interval"]["low"] < view["level"] < view["interval"]["high"]
    width = view["interval"]["high"] - view["interval"]["low"]
    assert width == pytest.approx(2 * 1.959964 * view["level_sd"])


def test_the_window_is_shown_with_its_levels_smoothed(api):
    values = [80.0, 80.6, 79.8, 60.0, 80.1, 80.3]
    api.post([reading("u-1", 24 * day, value) for day, value in enumerate(values)])
    view = api.call("GET", "/users/{user_id}", path={"user_id": "u-1"}).body
    window = view["window"]
    assert [list(each) for each in window] == [
        ["timestamp", "value", "reason", "level_smoothed", "level_smoothed_sd"]
    ] * len(values)
    assert [each["value"] for each in window] == values
    assert [each["reason"] for each in window] == [None] * 3 + ["outlier"] + [None] * 2
    assert (window[0]["timestamp"], window[-1]["timestamp"]) == (
        "2026-01-10T00:00:00Z", view["as_of"],
    )  # fmt: skip
    assert all(abs(each["level_smoothed"] - 80.1) < 0.3 for each in window)
    assert window[-1]["level_smoothed"] == pytest.approx(view["level"], abs=0.05)
    # Readings on both sides say more than those on one.
    assert 0.0 < window[2]["level_smoothed_sd"] < window[0]["level_smoothed_sd"]
    later = {"path": {"user_id": "u-1"}, "query": {"at": "2026-02-01T00:00:00Z"}}
    assert api.call("GET", "/users/{user_id}", **later).body["window"] == window


def test_the_interval_of_a_prediction_widens_with_time(api):
    api.post([reading("u-1", 24 * day, 80.0 + day / 10) for day in range(5)])

    def sd(at):
        return api.call("GET", "/users/{user_id}", path={"user_id": "u-1"}, query={"at": at}).body[
            "level_sd"
        ]

    days = ("2026-01-15T00:00:00Z", "2026-02-01T00:00:00+01:00", "2036-01-01T00:00:00 00:00")
    # In a query a plus sign is a space, unless it was escaped.
    widths = [sd(day) for day in days]
    assert widths == sorted(set(widths))


def test_a_prediction_that_is_not_possible_is_refused_with_a_reason(api):
    api.post([reading("u-1", 0)])
    for at in ("2026-01-01T00:00:00Z", "tomorrow", "2026-03-01T00:00:00", "", "9" * 99):
        response = api.call("GET", "/users/{user_id}", path={"user_id": "u-1"}, query={"at": at})
        assert_problem(response, 400, "invalid_request", response.body["field"])


def test_an_empty_name_is_refused(api):
    path = {"user_id": "u-1", "batch_id": "0" * 32}
    response = api.call("GET", "/users/{user_id}", path=path, query={"profile": ""})
    assert_problem(response, 400, "invalid_request", "profile")
    response = api.call("GET", "/batches/{batch_id}/results", path=path, query={"user": ""})
    assert_problem(response, 400, "invalid_request", "user")


def test_an_unknown_user_is_not_found(api):
    for user in ("nobody", "x" * 500, "%00", "\u00fc" * 200):
        response = api.call("GET", "/users/{user_id}", path={"user_id": user})
        assert_problem(response, 404, "not_found")


def test_a_user_whose_id_has_any_printable_character_is_found(api):
    for user in ("ü/ä?#%41 \"'", "a+b&c=d", "日本"):
        api.post([reading(user, 0)])
        response = api.call("GET", "/users/{user_id}", path={"user_id": quote(user, safe="")})
        assert response.body["user_id"] == user


def test_a_table_that_throttles_is_asked_again(api):
    api.post([reading("u-1", 0)])
    from kalmap_handlers.http.container import dynamodb

    with Injector(dynamodb(), 3, {THROTTLED: 0.2}) as faulty:
        for _ in range(10):
            response = api.call("GET", "/users/{user_id}", path={"user_id": "u-1"})
            assert response.status == 200
    assert faulty.requests > 10


def test_reads_do_not_use_the_table_while_the_breaker_is_open(api):
    api.post([reading("u-1", 0)])
    from kalmap_handlers.http.container import dynamodb

    def ask():
        return api.call("GET", "/users/{user_id}", path={"user_id": "u-1"})

    with Injector(dynamodb(), 3, {THROTTLED: 1.0}) as faulty:
        assert {ask().status for _ in range(3)} == {503}
        asked = faulty.requests
        response = ask()
    assert_problem(response, 503, "unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert faulty.requests == asked
    assert api.call("GET", "/health").body["circuit"] == "open"


def test_a_custom_profile_is_stored_for_later_reads_of_its_states(api):
    body = {
        "measurements": [reading("c-1", 0, 41.0, unit="g")],
        "profile": CHICKS | {"learning": None},
    }
    assert api.call("POST", "/measurements", body).status == 200
    api.cold_start()
    asked = {"path": {"user_id": "c-1"}, "query": {"profile": "chicks"}}
    now = api.call("GET", "/users/{user_id}", **asked).body
    assert (now["level"], now["unit"], now["level_sd"]) == (41.0, "g", 2.0)
    asked["query"]["at"] = "2026-01-20T00:00:00Z"
    then = api.call("GET", "/users/{user_id}", **asked).body
    assert then["interval"]["low"] < now["interval"]["low"]


def test_without_a_stored_profile_only_the_tables_attributes_are_returned(api):
    body = {"measurements": [reading("c-1", 0, 41.0, unit="g")], "profile": CHICKS}
    assert api.call("POST", "/measurements", body).status == 200
    [stored] = api.s3.list_objects_v2(Bucket=api.bucket, Prefix="profiles/")["Contents"]
    api.s3.delete_object(Bucket=api.bucket, Key=stored["Key"])
    asked = {"path": {"user_id": "c-1"}, "query": {"profile": "chicks"}}
    response = api.call("GET", "/users/{user_id}", **asked)
    assert (response.body["level"], response.body["unit"]) == (41.0, None)
    assert response.body["window"] is None
    asked["query"]["at"] = "2027-01-20T00:00:00Z"
    response = api.call("GET", "/users/{user_id}", **asked)
    assert_problem(response, 400, "invalid_request", "at")
