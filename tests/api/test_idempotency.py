"""The header Idempotency-Key: one request, one answer, for 24 hours."""

import pytest

from tests.support.both_paths import reading
from tests.support.dynamodb_faults import THROTTLED, Injector


def test_the_same_request_gets_the_same_answer_and_a_new_key_a_new_one(api):
    records = [reading("u-1", 0), reading("u-1", 24)]
    first = api.post(records, Idempotency_Key="k-1")
    assert {r["status"] for r in first.body["results"]} == {"accepted"}
    assert api.post(records, Idempotency_Key="k-1").raw == first.raw
    other = api.post(records, Idempotency_Key="k-2")
    assert {r["status"] for r in other.body["results"]} == {"duplicate"}


def test_another_container_returns_the_same_answer(api):
    records = [reading("u-1", 0)]
    first = api.post(records, Idempotency_Key="k-1")
    api.cold_start()
    assert api.post(records, Idempotency_Key="k-1").raw == first.raw


def test_an_idempotency_key_with_another_body_is_refused(api):
    api.post([reading("u-1", 0)], Idempotency_Key="k-1")
    response = api.post([reading("u-1", 1)], Idempotency_Key="k-1")
    assert response.status == 409
    assert response.body["code"] == "conflict"


def test_an_answer_with_failed_readings_is_not_stored_so_the_key_can_be_sent_again(
    api, monkeypatch
):
    api.post([reading("u-0", 0)])
    from kalmap_handlers.http.container import dynamodb

    records = [reading("u-0", 24), reading("u-1", 0)]
    with Injector(dynamodb(), 1, {THROTTLED: 1.0}):
        response = api.post(records, Idempotency_Key="k-1")
        assert response.status == 503
    monkeypatch.setattr("kalmap.api.user_group.MAX_ROUNDS", 1)
    response = api.post(records, Idempotency_Key="k-1")
    assert {r["status"] for r in response.body["results"]} == {"accepted"}


ACCOUNT = "123456789012"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/writer"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"{ROLE}/task-1", f"{ROLE}/botocore-session-17", True),
        (f"{ROLE}/a@b.example", f"{ROLE}/c=d,e", True),
        (f"{ROLE}/task-1", f"{ROLE}-2/task-1", False),
        (f"{ROLE}/s", "arn:aws:sts::210987654321:assumed-role/writer/s", False),
        (f"{ROLE}/s", f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/writer/s", False),
        (f"arn:aws:iam::{ACCOUNT}:user/ops/ann", f"arn:aws:iam::{ACCOUNT}:user/ops/bob", False),
        (f"arn:aws:iam::{ACCOUNT}:user/ops/ann", f"arn:aws:iam::{ACCOUNT}:user/ops/ann", True),
        (
            f"arn:aws:sts::{ACCOUNT}:federated-user/ann",
            f"arn:aws:sts::{ACCOUNT}:federated-user/bob",
            False,
        ),
        (f"arn:aws:iam::{ACCOUNT}:root", "arn:aws:iam::210987654321:root", False),
    ],
)
def test_all_sessions_of_a_role_share_their_idempotency_keys_and_other_callers_do_not(
    api, monkeypatch, one, other, same
):
    records, event = [reading("u-1", 0)], api.event

    def ask(arn):
        def signed(*arguments, **options):
            made = event(*arguments, **options)
            made["requestContext"]["identity"] = {"userArn": arn, "accessKey": "A"}
            return made

        monkeypatch.setattr(api, "event", signed)
        return api.post(records, Idempotency_Key="k-1")

    first, second = ask(one), ask(other)
    assert (first.raw == second.raw) == same


def test_invalid_idempotency_keys_are_refused(api):
    for key in ("", "x" * 129, "with space", "ümlaut"):
        response = api.post([reading("u-1", 0)], Idempotency_Key=key)
        assert response.status == 400


def test_the_answer_to_a_full_request_fits_into_the_table(api):
    records = [
        reading(f"{'u' * 118}-{user}", user / 10, 80.0, measurement_id=f"{'m' * 118}-{user}")
        for user in range(500)
    ]
    first = api.post(records, Idempotency_Key="k-1")
    assert first.status == 200
    assert api.post(records, Idempotency_Key="k-1").raw == first.raw
