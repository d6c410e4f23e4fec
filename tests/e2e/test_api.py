"""The HTTP API end to end: gateway, function, state machine, table, bucket."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import jsonschema
import pytest
import urllib3

from kalmap.api.openapi import OPERATIONS, document
from kalmap.store.dynamodb.states import DynamoDBStateStore
from tests.support.both_paths import reading
from tests.support.signed_client import Client

DOCUMENT = document(".")


@pytest.fixture(scope="module")
def api(shared):
    return Client(shared.cloud)


@pytest.fixture
def user():
    """A user id that is unique in this stack."""
    return f"u-{uuid.uuid4().hex[:8]}"


def assert_as_described(response, method, path):
    """The answer has a status and a form that the OpenAPI document gives it."""
    described = DOCUMENT["paths"][path][method]["responses"][str(response.status)]
    schema = described["content"]["application/json"]["schema"]
    complete = json.loads(json.dumps(schema).replace("#/components/schemas/", "#/$defs/"))
    defs = json.loads(
        json.dumps(DOCUMENT["components"]["schemas"]).replace("#/components/schemas/", "#/$defs/")
    )
    jsonschema.validate(response.body, complete | {"$defs": defs})


def ended(api, batch_id):
    """The batch once it has ended, and every status and phase seen on the way."""
    seen = []
    for _ in range(600):
        response = api.get(f"/batches/{batch_id}")
        assert_as_described(response, "get", "/batches/{batch_id}")
        seen.append((response.body["status"], (response.body["progress"] or {}).get("phase")))
        if response.body["status"] not in {"STARTING", "RUNNING"}:
            return response.body, seen
        time.sleep(0.05)
    raise AssertionError(seen[-1])


def fetched(url):
    return urllib3.request("GET", url, retries=False).data


def test_a_request_is_answered_at_once_and_its_state_shown(api, user):
    response = api.post("/measurements", {"measurements": [reading(user, 0), {"user_id": user}]})
    assert response.status == 200
    assert_as_described(response, "post", "/measurements")
    assert [r["status"] for r in response.body["results"]] == ["accepted", "unreadable"]
    response = api.get(f"/users/{user}")
    assert_as_described(response, "get", "/users/{user_id}")
    assert response.body["readings"] == 1
    later = api.get(f"/users/{user}", at="2026-06-01T00:00:00+02:00").body
    assert later["level_sd"] > response.body["level_sd"]


def test_a_user_is_found_with_any_characters_in_the_id(api, user):
    for name in (f"{user}/a", f"{user}/", f"{user} 100%41+&?#"):
        assert api.post("/measurements", {"measurements": [reading(name, 0)]}).status == 200
        response = api.get(f"/users/{quote(name, safe='')}")
        assert (response.status, response.body["user_id"]) == (200, name)


def test_a_path_with_an_empty_part_does_not_exist(api, user):
    for path in ("//health", "/health/", f"/users//{user}", "/batches/"):
        assert api.get(path).status == 403


def test_a_request_without_a_signature_is_refused(api):
    for operation in OPERATIONS:
        path = operation.path.replace("{batch_id}", "0" * 32).replace("{user_id}", "u")
        response = urllib3.request(operation.method.upper(), api.address + path, retries=False)
        assert response.status == 403


def test_a_compressed_answer_is_asked_for_by_its_header(api, user):
    body = {"measurements": [reading(user, day) for day in range(20)]}
    # The client inflates what comes compressed, and says what came.
    response = api.post("/measurements", body, Accept_Encoding="gzip", Accept="*/*")
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(response.body["results"]) == 20


@pytest.mark.parametrize("api_first", [True, False])
def test_inline_records_are_the_same_batch_through_the_api_and_step_functions(
    api, shared, user, api_first
):
    batch_input = {"source": {"records": [reading(user, day, 80 + day / 3) for day in range(2)]}}

    def by_api():
        return ended(api, api.post("/batches", batch_input).body["batch_id"])[0]["batch_id"]

    def by_execution():
        states = shared.cloud.clients("stepfunctions")
        [machine] = states.list_state_machines()["stateMachines"]
        started = states.start_execution(
            stateMachineArn=machine["stateMachineArn"], input=json.dumps(batch_input)
        )
        arn = started["executionArn"]
        while (response := states.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.05)
        output = json.loads(response["output"])
        assert ("first" in output) == api_first
        return output.get("batch", output)["batch_id"]

    doors = (by_api, by_execution) if api_first else (by_execution, by_api)
    first, second = (door() for door in doors)
    assert first == second


def test_a_batch_is_started_watched_and_read(api, user):
    # More than an execution's input could hold.
    records = [reading(f"{user}-{n % 7}", n) for n in range(3500)] + [{"user_id": user}]
    assert len(json.dumps(records)) > 262_144
    started = api.post("/batches", {"source": {"records": records}})
    assert started.status == 202
    assert_as_described(started, "post", "/batches")
    batch_id = started.body["batch_id"]
    assert started.body["status_url"] == f"/batches/{batch_id}"
    early = api.get(f"/batches/{batch_id}/results")
    assert early.status == 409
    batch, seen = ended(api, batch_id)
    assert batch["status"] == "SUCCEEDED"
    assert batch["summary"]["readings"]["received"] == batch["received"] == 3501
    assert {phase for _, phase in seen} - {None} <= {
        "planning", "partitioning", "loading", "filtering", "writing", "completing"
    }  # fmt: skip
    assert len({phase for _, phase in seen}) > 2
    # Every result once, by pages of any size, and by the links.
    for limit in (1000, 700):
        results, cursor = [], None
        while True:
            query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
            page = api.get(f"/batches/{batch_id}/results", **query)
            assert_as_described(page, "get", "/batches/{batch_id}/results")
            results += page.body["results"]
            cursor = page.body["cursor"]
            if not cursor:
                break
        assert sorted(r["index"] for r in results) == list(range(3501))
    lines = b"".join(fetched(link) for link in batch["links"]["results"]).splitlines()
    by_index = sorted(results, key=lambda r: r["index"])
    assert sorted(map(json.loads, lines), key=lambda r: r["index"]) == by_index
    assert json.loads(fetched(batch["links"]["summary"])) == batch["summary"]
    assert len(b"".join(map(fetched, batch["links"]["unreadable"])).splitlines()) == 1
    # Some of them.
    unreadable = api.get(f"/batches/{batch_id}/results", status="unreadable").body["results"]
    assert [r["index"] for r in unreadable] == [3500]
    of_one = api.get(f"/batches/{batch_id}/results", user=f"{user}-3", limit="1000").body
    assert [r["index"] for r in of_one["results"]] == list(range(3, 3500, 7))
    assert of_one["cursor"] is None
    # Started again, it is the same batch, which has run.
    again = api.post("/batches", {"source": {"records": records}})
    assert again.body["batch_id"] == batch_id
    assert again.body["status"] == "SUCCEEDED"
    listed = api.get("/batches", limit="1000")
    assert_as_described(listed, "get", "/batches")
    assert batch_id in [one["batch_id"] for one in listed.body["batches"]]


def test_a_file_uploaded_to_the_returned_url_starts_a_batch(api, user):
    upload = api.post("/batches/uploads", {"name": "weights.jsonl"})
    assert upload.status == 201
    assert_as_described(upload, "post", "/batches/uploads")
    before = {one["batch_id"] for one in api.get("/batches", limit="1000").body["batches"]}
    line = json.dumps(reading(user, 0)).encode()
    assert urllib3.request("PUT", upload.body["url"], body=line, retries=False).status == 200
    for _ in range(200):
        page = api.get("/batches", limit="1000").body["batches"]
        if new := [one for one in page if one["batch_id"] not in before]:
            break
        time.sleep(0.05)
    batch, _ = ended(api, new[0]["batch_id"])
    assert batch["status"] == "SUCCEEDED"
    assert api.get(f"/users/{user}").body["readings"] == 1


def test_a_mapped_file_is_refused_without_its_mapping_and_read_with_it(api, user):
    mapping = {"columns": {"timestamp": "Zeit", "value": "Kilo"}, "delimiter": ";", "user": user}
    upload = api.post("/batches/uploads", {"mapping": mapping})
    assert_as_described(upload, "post", "/batches/uploads")
    table = "Zeit;Kilo\n2026-03-01T07:00:00Z;80.1\n"
    url, headers = upload.body["url"], upload.body["headers"]
    other = {name: text.replace("Kilo", "Zeit") for name, text in headers.items()}
    for wrong in ({}, other):
        refused = urllib3.request("PUT", url, body=table, headers=wrong, retries=False)
        assert refused.status == 403
    before = {one["batch_id"] for one in api.get("/batches", limit="1000").body["batches"]}
    assert urllib3.request("PUT", url, body=table, headers=headers, retries=False).status == 200
    for _ in range(200):
        page = api.get("/batches", limit="1000").body["batches"]
        if new := [one for one in page if one["batch_id"] not in before]:
            break
        time.sleep(0.05)
    batch, _ = ended(api, new[0]["batch_id"])
    assert (batch["status"], batch["accepted"]) == ("SUCCEEDED", 1)


def test_batches_come_in_pages_the_newest_first(api, user):
    for day in range(3):
        source = {"records": [reading(user, 24 * day)]}
        ended(api, api.post("/batches", {"source": source}).body["batch_id"])
    complete = api.get("/batches", limit="1000").body["batches"]
    assert [one["started_at"] for one in complete] == sorted(
        (one["started_at"] for one in complete), reverse=True
    )
    paged, cursor = [], None
    while True:
        page = api.get("/batches", limit="2", **({"cursor": cursor} if cursor else {})).body
        paged += page["batches"]
        cursor = page["cursor"]
        if not cursor:
            break
    assert [one["batch_id"] for one in paged] == [one["batch_id"] for one in complete]


def test_requests_and_a_batch_with_the_same_users_at_the_same_time_lose_nothing(api, shared, user):
    users = [f"{user}-{n}" for n in range(4)]
    # At most a window's worth for each user, so that none can come too late.
    parts = [[reading(u, 24 * (3 * c + n), 80 + n / 10) for u in users for n in range(3)]
             for c in range(6)]  # fmt: skip
    started = api.post("/batches", {"source": {"records": parts[0]}}).body
    with ThreadPoolExecutor(3) as pool:
        answers = list(
            pool.map(lambda part: api.post("/measurements", {"measurements": part}), parts[1:])
        )
    assert {r["status"] for response in answers for r in response.body["results"]} == {"accepted"}
    batch, _ = ended(api, started["batch_id"])
    assert batch["accepted"] == 12
    all_readings = [r | {"user_id": f"{r['user_id']}-whole"} for part in parts for r in part]
    assert api.post("/measurements", {"measurements": all_readings}).status == 200
    outputs = shared.cloud.clients("cloudformation").describe_stacks(StackName="kalmap")
    [table] = [o["OutputValue"] for o in outputs["Stacks"][0]["Outputs"]
               if o["OutputKey"] == "StatesTable"]  # fmt: skip
    store = DynamoDBStateStore(shared.cloud.clients("dynamodb"), table)
    states = store.load("body-weight", users + [f"{u}-whole" for u in users]).states
    for one in users:
        assert states[one].body == states[f"{one}-whole"].body


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/measurements", {"measurements": [{}] * 501}, 413),
        ("POST", "/measurements", {"measurement": []}, 400),
        ("POST", "/measurements", b"user_id,value", 400),
        ("POST", "/batches", {"source": {"bucket": "no-such-bucket", "key": "k"}}, 404),
        ("GET", "/users/nobody-at-all", None, 404),
        ("GET", f"/batches/{'0' * 32}", None, 404),
        ("GET", "/batches?limit=0", None, 400),
    ],
)
def test_problems_have_the_documented_format(api, method, path, body, status):
    response = api.call(method, path, body)
    assert response.status == status
    route = path.split("?")[0]
    route = "/batches/{batch_id}" if route.startswith("/batches/0") else route
    route = "/users/{user_id}" if route.startswith("/users") else route
    assert_as_described(response, method.lower(), route)


def test_the_openapi_document_is_served_and_valid(api):
    response = api.get("/openapi.json")
    assert response.body == json.loads(json.dumps(DOCUMENT))
    assert_as_described(api.get("/health"), "get", "/health")


def test_requests_above_the_stages_rate_limit_are_refused(api, shared):
    gateway = shared.cloud.clients("apigateway")
    api_id = api.address.split("/restapis/")[1].split("/")[0]

    def set_to(rate, burst):
        gateway.update_stage(
            restApiId=api_id,
            stageName="v1",
            patchOperations=[
                {"op": "replace", "path": f"/*/*/throttling/{name}Limit", "value": str(value)}
                for name, value in (("rate", rate), ("burst", burst))
            ],
        )

    deployed = gateway.get_stage(restApiId=api_id, stageName="v1")["methodSettings"]["*/*"]
    assert (deployed["throttlingRateLimit"], deployed["throttlingBurstLimit"]) == (100, 200)
    set_to(0.01, 3)
    try:
        assert 429 in [api.get("/health").status for _ in range(6)]
    finally:
        set_to(100, 200)
