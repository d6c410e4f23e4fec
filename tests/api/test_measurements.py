"""POST /measurements: results in order, partial failures inside, and what bounds a request."""

import gzip
import json
import time

import pytest

from kalmap.api.user_group import MAX_ROUNDS
from tests.support.both_paths import reading
from tests.support.dynamodb_faults import THROTTLED, Injector, SlowTable


def readings(users: int, days: int) -> list[dict]:
    return [
        reading(f"u-{user}", 6 * day + user / 600, 80 + day % 3 / 10)
        for day in range(days)
        for user in range(users)
    ]


@pytest.mark.parametrize(
    ("users", "days"), [(1, 10), (10, 10), (500, 1), (1, 500), (50, 10)], ids=str
)
def test_results_are_in_the_order_of_the_measurements(api, users, days):
    records = readings(users, days)
    response = api.post(records)
    assert response.status == 200
    assert [r["index"] for r in response.body["results"]] == list(range(len(records)))
    assert [r["user_id"] for r in response.body["results"]] == [r["user_id"] for r in records]
    summary = response.body["summary"]
    assert summary["readings"]["received"] == len(records) == summary["readings"]["accepted"]
    assert summary["users"] == {
        "total": users, "new": users, "changed": users, "failed": 0, "unknown": 0
    }  # fmt: skip


def test_bad_readings_are_results_and_never_errors_of_the_request(api):
    good = reading("u-1", 0)
    bad = [
        None,
        5,
        "x",
        [],
        {},
        reading("u-1", 1) | {"timestamp": "yesterday"},
        reading("u-1", 1) | {"timestamp": "0001-01-01T00:00:00+23:59"},
        reading("u-1", 1) | {"value": "80"},
        reading("u-1", 1) | {"unit": "smoots"},
        reading("u-1", 1) | {"user_id": "x" * 200},
        reading("u-1", 1) | {"user_id": "line\nend"},
        reading("u-1", 1, 5000.0),
        reading("u-1", 10**6),
    ]
    response = api.post([good, *bad, good])
    assert response.status == 200
    reasons = [result["reason"] for result in response.body["results"]]
    assert reasons == [
        None, "malformed", "malformed", "malformed", "malformed", "missing_field",
        "bad_timestamp", "bad_timestamp", "bad_value", "unknown_unit", "malformed", "malformed",
        "out_of_range", "in_future", "duplicate",
    ]  # fmt: skip
    details = {line["index"]: line["detail"] for line in response.body["unreadable"]}
    assert set(details) == set(range(1, 12))
    assert all(detail.endswith(".") for detail in details.values())


def test_numbers_are_read_as_they_were_sent(api):
    line = json.dumps(reading("u-1", 0)).replace("80.0", "1e999")
    pretty = json.dumps(reading("u-2", 0), indent=2).replace("\n", "\r\n")
    raw = b'{"measurements": [%s,\n%s]}' % (line.encode(), pretty.encode())
    response = api.call("POST", "/measurements", raw=raw)
    assert [r["reason"] for r in response.body["results"]] == ["bad_value", None]


def test_a_late_reading_that_changes_an_earlier_decision_returns_a_revision(api):
    api.post([reading("u-1", 24 * day, 80.0) for day in range(3)])
    response = api.post([reading("u-1", 24 * 5, 95.0)])
    assert response.body["results"][0]["status"] == "rejected"
    assert response.body["revisions"] == []
    # Two more at the new level, of the days before, make it believable.
    response = api.post([reading("u-1", 24 * day + 1, 95.1) for day in (3, 4)])
    assert [line["timestamp"] for line in response.body["revisions"]] == ["2026-01-15T00:00:00Z"]
    assert response.body["revisions"][0]["new_status"] == "accepted"


def test_a_request_with_too_many_measurements_is_referred_to_batches(api):
    response = api.post(readings(1, 501))
    assert response.status == 413
    assert response.body["code"] == "too_large"
    assert "/batches" in response.body["message"]


def test_an_answer_is_compressed_if_the_client_accepts_gzip(api):
    response = api.post(readings(5, 5), Accept_Encoding="br, gzip")
    assert response.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(response.raw)) == response.body
    assert "Content-Encoding" not in api.post(readings(5, 5)).headers


def test_a_compressed_body_is_read_and_one_that_inflates_too_far_refused(api):
    sent = gzip.compress(json.dumps({"measurements": readings(2, 2)}).encode())
    assert api.call("POST", "/measurements", raw=sent, Content_Encoding="gzip").status == 200
    bomb = gzip.compress(b" " * 20_000_000)
    assert api.call("POST", "/measurements", raw=bomb, Content_Encoding="gzip").status == 413
    assert api.call("POST", "/measurements", raw=sent[:50], Content_Encoding="gzip").status == 400
    assert api.call("POST", "/measurements", raw=sent, Content_Encoding="zstd").status == 415


def test_results_over_a_megabyte_are_returned_as_a_link(start):
    api = start(BATCH_MAX_SIZE="5000")
    records = readings(500, 8)
    response = api.post(records)
    assert response.body["results"] is None
    key = response.body["results_url"].split("?")[0].split(f"{api.bucket}/", 1)[1]
    lines = api.s3.get_object(Bucket=api.bucket, Key=key)["Body"].read().splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(len(records)))
    plain = start(BATCH_MAX_SIZE="5000", ENABLE_STREAMING="false").post(records)
    assert len(plain.body["results"]) == len(records)


def test_the_database_is_asked_five_times_per_hundred_new_users(api):
    response = api.post(readings(100, 1))
    assert response.body["summary"]["database"]["requests"] == 5
    again = api.post([reading(f"u-{user}", 30) for user in range(100)])
    # Their states are kept, so that only the writes are left.
    assert again.body["summary"]["database"]["requests"] == 4


class TestTimeRunsOut:
    def test_readings_of_unfinished_users_all_fail(self, start, monkeypatch):
        api = start(BATCH_TIMEOUT_SECONDS="0.3", DB_BATCH_GET_SIZE="5", BATCH_PARALLELISM="2")
        from kalmap_handlers.http.container import dynamodb

        # The table answers at first, and then takes longer than there is time.
        table, seen = dynamodb(), []

        def slow(**_):
            seen.append(True)
            if len(seen) > 4:
                time.sleep(0.2)

        table.meta.events.register("before-call.dynamodb.*", slow)
        records = readings(40, 2)
        response = api.post(records)
        table.meta.events.unregister("before-call.dynamodb.*", slow)
        assert response.status == 200
        reasons = {r["reason"] for r in response.body["results"] if r["status"] == "failed"}
        assert reasons == {"timed_out"}
        assert response.body["summary"]["time"]["total_seconds"] < 3
        done = {r["user_id"] for r in response.body["results"] if r["status"] == "accepted"}
        assert done
        # Sent again, each of the others is finished; what was written counts once.
        rest = [records[r["index"]] for r in response.body["results"] if r["status"] == "failed"]
        while rest:
            response = api.post(rest)
            if response.status == 503:
                time.sleep(int(response.headers["Retry-After"]))
                continue
            rest = [rest[r["index"]] for r in response.body["results"] if r["status"] == "failed"]
        monkeypatch.setenv("BATCH_TIMEOUT_SECONDS", "30")
        api.cold_start()
        again = api.post(records)
        assert {r["status"] for r in again.body["results"]} == {"duplicate"}

    def test_users_whose_writes_the_table_refuses_until_the_end_have_timed_out(self, start):
        api = start(BATCH_TIMEOUT_SECONDS="0.6")
        from kalmap_handlers.http.container import dynamodb

        with SlowTable(dynamodb(), "BatchExecuteStatement", 0.1, first=10):
            response = api.post(readings(50, 1))
        failed = response.body["summary"]["readings"]["failed"]
        assert list(failed) == ["timed_out"]
        assert 0 < failed["timed_out"] < 50


class TestTheTableIsInTrouble:
    def test_the_answer_has_the_time_after_which_to_retry(self, api):
        from kalmap_handlers.http.container import dynamodb

        api.post(readings(1, 1))
        with Injector(dynamodb(), 1, {THROTTLED: 1.0}):
            api.seconds_left = 29.0
            response = api.post([reading("u-9", 0)])
            assert response.status == 503
            assert response.body["code"] == "unavailable"
            assert int(response.headers["Retry-After"]) >= 1

    def test_the_breaker_opens_and_answers_at_once(self, api):
        from kalmap_handlers.http.container import breaker, dynamodb

        api.post(readings(1, 1))
        with Injector(dynamodb(), 1, {THROTTLED: 1.0}) as faults:
            for _ in range(4):
                response = api.post([reading("u-9", 0)])
            asked = faults.requests
            response = api.post([reading("u-9", 0)])
            assert faults.requests == asked
        assert response.status == 503
        assert breaker().circuit.value == "open"
        assert api.call("GET", "/health").body["status"] == "degraded"


def test_a_user_changed_by_others_in_every_round_fails_with_conflict(api, monkeypatch):
    from kalmap.store.dynamodb.states import DynamoDBStateStore
    from kalmap_handlers.http.container import cached_states

    api.post([reading("u-1", 0)])
    write = DynamoDBStateStore.write

    def beaten(self, profile, changes, **more):
        response = write(self, profile, changes, **more)
        rival = {change.user: change.old for change in changes}
        return response._replace(stored={}, conflicts=rival)

    monkeypatch.setattr(DynamoDBStateStore, "write", beaten)
    monkeypatch.setattr("kalmap.api.user_group.MAX_ROUNDS", 3)
    response = api.post([reading("u-1", 24), reading("u-2", 0)])
    assert [r["reason"] for r in response.body["results"]] == ["conflict", "conflict"]
    assert MAX_ROUNDS >= 10
    assert cached_states() is not None
