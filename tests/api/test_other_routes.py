"""Users, health, the document, and the one shape that every problem has."""

import base64
import json
import os
import re
import uuid

import boto3
import pytest

from handlers.settings import Settings
from kalmap.api.openapi import OPERATIONS
from kalmap_cli.local.deploy import read_template
from tests.support.api_function import declared_settings
from tests.support.both_paths import reading
from tests.support.dynamodb import endpoint
from tests.support.dynamodb_faults import THROTTLED, Injector
from tests.support.template import TEMPLATE

CHICKS = {
    "name": "chicks", "unit": "g", "range": [1, 1000], "level_noise": 1.0, "slope_noise": 0.5,
    "slope_damping": 0.0, "slope_prior": 5.0, "measurement_noise": 2.0, "gate": 16.0,
    "rate_limit": 50.0,
}  # fmt: skip


def is_problem(told, status, code, field=None):
    assert told.status == status
    assert told.body["code"] == code
    assert told.body["field"] == field
    assert told.body["message"].endswith((".", "?"))
    assert told.body["request_id"].startswith("request-")
    assert set(told.body) == {"code", "message", "field", "request_id"}
    return True


class TestUsers:
    def test_a_state_is_shown_with_its_interval(self, api):
        api.post([reading("u-1", 24 * day, 80.0 + day / 10) for day in range(5)])
        told = api.call("GET", "/users/{user_id}", path={"user_id": "u-1"})
        view = told.body
        assert view["as_of"] == "2026-01-14T00:00:00Z"
        assert (view["readings"], view["rejected"], view["unit"]) == (5, 0, "kg")
        assert view["interval"]["low"] < view["level"] < view["interval"]["high"]
        width = view["interval"]["high"] - view["interval"]["low"]
        assert width == pytest.approx(2 * 1.959964 * view["level_sd"])

    def test_a_prediction_grows_less_sure_with_time(self, api):
        api.post([reading("u-1", 24 * day, 80.0 + day / 10) for day in range(5)])

        def sd(at):
            return api.call(
                "GET", "/users/{user_id}", path={"user_id": "u-1"}, query={"at": at}
            ).body["level_sd"]

        days = ("2026-01-15T00:00:00Z", "2026-02-01T00:00:00+01:00", "2036-01-01T00:00:00 00:00")
        # In a query a plus sign is a space, unless it was escaped.
        widths = [sd(day) for day in days]
        assert widths == sorted(set(widths))

    def test_what_cannot_be_predicted_is_said(self, api):
        api.post([reading("u-1", 0)])
        for at in ("2026-01-01T00:00:00Z", "tomorrow", "2026-03-01T00:00:00", "", "9" * 99):
            told = api.call("GET", "/users/{user_id}", path={"user_id": "u-1"}, query={"at": at})
            assert is_problem(told, 400, "invalid_request", told.body["field"])

    def test_an_empty_name_is_refused(self, api):
        path = {"user_id": "u-1", "batch_id": "0" * 32}
        told = api.call("GET", "/users/{user_id}", path=path, query={"profile": ""})
        assert is_problem(told, 400, "invalid_request", "profile")
        told = api.call("GET", "/batches/{batch_id}/results", path=path, query={"user": ""})
        assert is_problem(told, 400, "invalid_request", "user")

    def test_an_unknown_user_is_not_found(self, api):
        for user in ("nobody", "x" * 500, "%00", "\u00fc" * 200):
            told = api.call("GET", "/users/{user_id}", path={"user_id": user})
            assert is_problem(told, 404, "not_found")

    def test_ids_with_any_printable_character_are_found(self, api):
        for user in ("ü/ä?#%41 \"'", "a+b&c=d", "日本"):
            api.post([reading(user, 0)])
            from urllib.parse import quote

            told = api.call("GET", "/users/{user_id}", path={"user_id": quote(user, safe="")})
            assert told.body["user_id"] == user

    def test_a_table_that_throttles_is_asked_again(self, api):
        api.post([reading("u-1", 0)])
        from handlers.http.container import dynamodb

        with Injector(dynamodb(), 3, {THROTTLED: 0.2}) as faulty:
            for _ in range(10):
                told = api.call("GET", "/users/{user_id}", path={"user_id": "u-1"})
                assert told.status == 200
        assert faulty.requests > 10

    def test_a_table_in_trouble_is_left_alone_by_reads_too(self, api):
        api.post([reading("u-1", 0)])
        from handlers.http.container import dynamodb

        def ask():
            return api.call("GET", "/users/{user_id}", path={"user_id": "u-1"})

        with Injector(dynamodb(), 3, {THROTTLED: 1.0}) as faulty:
            assert {ask().status for _ in range(3)} == {503}
            asked = faulty.requests
            told = ask()
        assert is_problem(told, 503, "unavailable")
        assert int(told.headers["Retry-After"]) >= 1
        assert faulty.requests == asked
        assert api.call("GET", "/health").body["circuit"] == "open"

    def test_a_profile_that_is_not_built_in_is_kept_for_who_reads_its_states(self, api):
        body = {"measurements": [reading("c-1", 0, 41.0, unit="g")], "profile": CHICKS}
        assert api.call("POST", "/measurements", body).status == 200
        api.cold_start()
        asked = {"path": {"user_id": "c-1"}, "query": {"profile": "chicks"}}
        now = api.call("GET", "/users/{user_id}", **asked).body
        assert (now["level"], now["unit"], now["level_sd"]) == (41.0, "g", 2.0)
        asked["query"]["at"] = "2026-01-20T00:00:00Z"
        then = api.call("GET", "/users/{user_id}", **asked).body
        assert then["interval"]["low"] < now["interval"]["low"]

    def test_of_a_profile_that_nobody_kept_there_is_what_the_table_has(self, api):
        body = {"measurements": [reading("c-1", 0, 41.0, unit="g")], "profile": CHICKS}
        assert api.call("POST", "/measurements", body).status == 200
        [kept] = api.s3.list_objects_v2(Bucket=api.bucket, Prefix="profiles/")["Contents"]
        api.s3.delete_object(Bucket=api.bucket, Key=kept["Key"])
        asked = {"path": {"user_id": "c-1"}, "query": {"profile": "chicks"}}
        told = api.call("GET", "/users/{user_id}", **asked)
        assert (told.body["level"], told.body["unit"]) == (41.0, None)
        asked["query"]["at"] = "2027-01-20T00:00:00Z"
        told = api.call("GET", "/users/{user_id}", **asked)
        assert is_problem(told, 400, "invalid_request", "at")


class TestProblems:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "measurements"),
            ({"measurements": []}, "measurements"),
            ({"measurements": 5}, "measurements"),
            ({"measurements": [1], "profil": "x"}, "profil"),
            ({"measurements": [1], "profile": 5}, "profile"),
            ({"measurements": [1], "adopt_profile": "yes"}, "adopt_profile"),
            ([], None),
        ],
        ids=str,
    )
    def test_a_wrong_body_is_refused_with_the_fields_name(self, api, body, field):
        told = api.call("POST", "/measurements", body)
        assert is_problem(told, 400, "invalid_request", field)

    @pytest.mark.parametrize("raw", [b"", b" ", b"{", b"\xff", b"[" * 10_000, b"nul"], ids=repr)
    def test_what_is_not_json_is_refused(self, api, raw):
        assert is_problem(api.call("POST", "/measurements", raw=raw), 400, "invalid_request")

    def test_a_profile_that_is_wrong_or_unknown_is_refused(self, api):
        for profile in ("no-such", {"name": "x"}, CHICKS | {"gate": -1}):
            body = {"measurements": [1], "profile": profile}
            told = api.call("POST", "/measurements", body)
            assert is_problem(told, 400, "invalid_profile", "profile")

    def test_files_are_sent_elsewhere(self, api):
        for route in ("/measurements", "/batches", "/batches/uploads"):
            told = api.call("POST", route, raw=b"user_id,timestamp\n", Content_Type="text/csv")
            assert is_problem(told, 415, "unsupported_media_type")
            assert "/batches/uploads" in told.body["message"]

    def test_a_batch_that_nobody_started_is_not_found(self, api):
        for batch in ("0" * 32, "x", "../../etc", "%2e%2e"):
            for route in ("/batches/{batch_id}", "/batches/{batch_id}/results"):
                told = api.call("GET", route, path={"batch_id": batch})
                assert is_problem(told, 404, "not_found")

    @pytest.mark.parametrize(
        "source",
        [
            {},
            {"bucket": "b"},
            {"bucket": "b", "key": "k", "prefix": "p"},
            {"key": "k"},
            {"records": []},
            {"records": 5},
            {"records": [5]},
            {"bucket": "", "key": "k"},
            {"bucket": "b/c", "key": "k"},
            {"bucket": "bucket", "key": ""},
            {"bucket": "bucket", "key": "k" * 1025},
            {"bucket": "bucket", "key": "k", "version_id": ""},
            5,
        ],
        ids=str,
    )
    def test_a_batch_without_a_sound_source_is_refused(self, api, source):
        told = api.call("POST", "/batches", {"source": source})
        assert is_problem(told, 400, "invalid_request", told.body["field"])

    @pytest.mark.parametrize(
        "place", ["", "b", "batches/", "batches/0/", "map-runs/", "answers/", "cache/", "profiles/"]
    )
    def test_what_kalmap_keeps_for_itself_is_no_source(self, api, place):
        api.s3.put_object(Bucket=api.bucket, Key=f"{place or 'in/'}a.jsonl", Body=b"{}")
        own = {"bucket": api.bucket, "prefix": place}
        told = api.call("POST", "/batches", {"source": own})
        assert is_problem(told, 400, "invalid_request", "source.prefix")
        if place.endswith("/"):
            key = {"bucket": api.bucket, "key": f"{place}a.jsonl"}
            told = api.call("POST", "/batches", {"source": key})
            assert is_problem(told, 400, "invalid_request", "source.key")
            records = {"records": [reading("u", 0)]}
            told = api.call("POST", "/batches", {"source": records, "profile": key})
            assert is_problem(told, 400, "invalid_request", "profile.key")

    def test_other_buckets_and_places_are_sources(self, api):
        api.s3.create_bucket(Bucket="elsewhere")
        for bucket, place in (("elsewhere", ""), ("elsewhere", "batches/"), (api.bucket, "in/")):
            source = {"bucket": bucket, "prefix": place}
            told = api.call("POST", "/batches", {"source": source})
            assert is_problem(told, 404, "not_found")

    @pytest.mark.parametrize("retry_of", ["", "x", "0" * 33])
    def test_what_is_no_batchs_id_cannot_be_run_again(self, api, retry_of):
        told = api.call("POST", "/batches", {"retry_of": retry_of})
        assert is_problem(told, 400, "invalid_request", "retry_of")
        assert is_problem(api.call("POST", "/batches", {"retry_of": "0" * 32}), 404, "not_found")

    def test_a_batch_of_nothing_is_not_found(self, api):
        for source in (
            {"bucket": api.bucket, "key": "none"},
            {"bucket": "no-such-bucket-at-all", "key": "k"},
            {"bucket": api.bucket, "prefix": "none/"},
        ):
            assert is_problem(api.call("POST", "/batches", {"source": source}), 404, "not_found")

    def test_pages_are_asked_for_rightly_or_refused(self, api):
        for query in ({"limit": "0"}, {"limit": "x"}, {"limit": "99999"}, {"limit": "²"}):
            assert is_problem(
                api.call("GET", "/batches", query=query), 400, "invalid_request", "limit"
            )
        for cursor in ("x", "!!", "AAAA", "ü", "kgAA" * 50):
            told = api.call("GET", "/batches", query={"cursor": cursor})
            assert is_problem(told, 400, "invalid_request", "cursor")

    @pytest.mark.parametrize(
        ("route", "query", "known"),
        [
            ("/users/{user_id}", {"profil": "chicks"}, "profile, at"),
            ("/users/{user_id}", {"at": "2027-01-01T00:00:00Z", "Profile": "x"}, "profile, at"),
            ("/batches", {"status": "FAILED"}, "limit, cursor"),
            ("/health", {"x" * 5000: ""}, "there are none"),
        ],
    )
    def test_a_parameter_that_nobody_knows_is_refused(self, api, route, query, known):
        told = api.call("GET", route, path={"user_id": "u-1"}, query=query)
        name = list(query)[-1]
        assert is_problem(told, 400, "invalid_request", name[:200])
        assert known in told.body["message"]
        assert name[:60] in told.body["message"]

    def test_a_signature_in_the_query_is_no_parameter(self, api):
        query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Signature": "0"}
        assert api.call("GET", "/health", query=query).status == 200
        told = api.call("POST", "/batches/uploads", query={"name": "a.csv"})
        assert is_problem(told, 400, "invalid_request", "name")

    def test_what_the_gateway_itself_answers_has_the_same_form(self):
        known = boto3.client("apigateway").meta.service_model.shape_for("GatewayResponseType").enum
        told = read_template(TEMPLATE)["Resources"]["Api"]["Properties"]["GatewayResponses"]
        codes = {}
        for kind, response in told.items():
            assert kind in known
            template = response["ResponseTemplates"]["application/json"]
            # What the gateway fills in: a text with its quotation marks, and others without.
            filled = template.replace("$context.error.messageString", '"Forbidden"')
            body = json.loads(re.sub(r"\$context[.\w]+", "x", filled))
            assert set(body) == {"code", "message", "field", "request_id"}
            codes[kind] = body["code"]
        assert codes["REQUEST_TOO_LARGE"] == "too_large"
        assert codes["THROTTLED"] == "too_many_requests"

    def test_a_body_that_lambda_would_not_take_is_refused_everywhere(self, api):
        told = api.call("POST", "/batches", raw=b" " * 4_400_001)
        assert is_problem(told, 413, "too_large")
        # Lambda's limit is 6 MB; beside the body there are the headers, at most 10 KB, twice.
        assert len(base64.b64encode(b" " * 4_400_000)) + 2 * 10_240 < 6 * 2**20

    def test_a_path_that_does_not_exist_is_not_found(self, api):
        assert is_problem(api.call("GET", "/nothing"), 404, "not_found")

    def test_an_error_nobody_thought_of_tells_nothing_of_what_was_sent(self, api, monkeypatch, log):
        def broken(*_):
            raise ZeroDivisionError("secret user u-123 weighs 77.77")

        monkeypatch.setattr("handlers.http.measurements.answer", broken)
        told = api.post([reading("u-123", 0, 77.77)])
        assert is_problem(told, 500, "internal")
        logged = log.getvalue()
        assert "ZeroDivisionError" in logged
        assert "u-123" not in logged
        assert "77.77" not in logged


def test_health_says_what_the_container_holds(api):
    api.post([reading("u-1", 0)])
    told = api.call("GET", "/health").body
    assert (told["status"], told["circuit"], told["cached_states"]) == ("ok", "closed", 1)


def test_an_uploads_address_lies_under_incoming(api):
    told = api.call("POST", "/batches/uploads", {"name": "weights.csv.gz"})
    assert told.status == 201
    assert re.fullmatch(r"incoming/[0-9a-f]{32}/weights\.csv\.gz", told.body["key"])
    assert api.call("POST", "/batches/uploads").status == 201
    for name in ("", "../x", "a/b", "x" * 200, "a b"):
        assert api.call("POST", "/batches/uploads", {"name": name}).status == 400


def test_template_document_and_routes_are_the_same_paths():
    from handlers.http.app import app

    described = {(one.method, one.path) for one in OPERATIONS}
    events = read_template(TEMPLATE)["Resources"]["ApiFunction"]["Properties"]["Events"].values()
    deployed = {(e["Properties"]["Method"], e["Properties"]["Path"]) for e in events}
    routed = {
        (route.method.lower(), re.sub(r"<(\w+)>", r"{\1}", route.path))
        for route in app._static_routes + app._dynamic_routes
    }
    assert described == deployed == routed


def test_every_setting_is_a_parameter_with_the_same_default():
    declared = declared_settings()
    parameters = read_template(TEMPLATE)["Parameters"]
    for name in Settings.__struct_fields__:
        default = getattr(Settings(), name)
        given = parameters[declared[name.upper()]]["Default"]
        text = str(default).lower() if isinstance(default, bool) else str(default)
        assert str(given) in {text, text.removesuffix(".0")}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_MAX_SIZE", "0"),
        ("BATCH_MAX_SIZE", "1.5"),
        ("BATCH_PARALLELISM", "many"),
        ("BATCH_TIMEOUT_SECONDS", "nan"),
        ("BATCH_TIMEOUT_SECONDS", "-1"),
        ("DB_BATCH_GET_SIZE", "101"),
        ("DB_BATCH_WRITE_SIZE", "26"),
        ("ENABLE_BATCH_CACHE", "perhaps"),
        ("CACHE_URL", "http://cache"),
    ],
)
def test_a_setting_out_of_its_range_is_named(name, value):
    from handlers.settings import read_settings
    from kalmap.errors import InvalidSetting

    with pytest.raises(InvalidSetting, match=name):
        read_settings({name: value})


def test_the_address_of_a_shared_cache_may_lie_in_a_secret(api):
    from handlers.http.container import _secret_address
    from kalmap.errors import InvalidSetting

    secrets = boto3.client("secretsmanager", endpoint_url=endpoint())

    def secret(text):
        return secrets.create_secret(Name=f"cache-{uuid.uuid4().hex}", SecretString=text)["ARN"]

    address = "rediss://:password@cache.example:6379/0"
    assert _secret_address(secret(f"{address}\n")) == address
    with pytest.raises(InvalidSetting, match="CACHE_SECRET") as told:
        _secret_address(secret("password"))
    assert "password" not in str(told.value)


def test_no_log_line_and_no_metric_names_a_user_or_a_value(api, capsys, log):
    records = [reading("private-user", hour, 77.125) for hour in range(3)]
    api.post([*records, {"user_id": "private-user"}], Idempotency_Key="private-key")
    api.call("POST", "/batches", {"source": {"bucket": api.bucket, "key": "none"}})
    path = {"user_id": "private-user"}
    api.call("GET", "/users/{user_id}", path=path)
    api.call("POST", "/measurements", {"measurements": records, "profile": "no"})
    said = capsys.readouterr()
    lines = (said.out + said.err + log.getvalue()).splitlines()
    assert any('"request answered"' in line for line in lines)
    assert any("CacheHits" in line for line in lines)
    for line in lines:
        assert "private" not in line
        assert "77.125" not in line


def test_the_metrics_that_alarms_look_at_are_counted(api, capsys):
    api.post([reading("u-1", 0), reading("u-2", 0), {}])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    counted = told[-1]
    assert counted["Measurements"] == [3.0]
    assert counted["DatabaseRequests"] == [2.0]
    resources = read_template(TEMPLATE)["Resources"].values()
    alarms = [r["Properties"] for r in resources if r["Type"] == "AWS::CloudWatch::Alarm"]
    named = {
        metric["MetricStat"]["Metric"]["MetricName"]
        for alarm in alarms
        for metric in alarm.get("Metrics", [])
        if metric.get("MetricStat", {}).get("Metric", {}).get("Namespace") == "kalmap"
    } | {alarm["MetricName"] for alarm in alarms if alarm.get("Namespace") == "kalmap"}
    assert named == {"MemoryShare", "TimedOut"}
    assert named <= set(counted)
    assert counted["Errors"] == [0.0]
    # The dimensions are those by which the alarms find them.
    dimensions = [d for a in alarms if a.get("Namespace") == "kalmap" for d in a["Dimensions"]]
    [names] = counted["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert set(names) == {dimension["Name"] for dimension in dimensions}
    stack = os.environ["POWERTOOLS_SERVICE_NAME"]
    assert {(d["Name"], str(d["Value"])) for d in dimensions} == {
        ("service", "{'Ref': 'AWS::StackName'}"), ("step", counted["step"]),
    }  # fmt: skip
    assert counted["service"] == stack


def test_a_prediction_at_the_newest_reading_is_the_state(api):
    api.post([reading("u-1", 24 * day, 80.0 + day) for day in range(3)])
    path = {"user_id": "u-1"}
    now = api.call("GET", "/users/{user_id}", path=path).body
    query = {"at": now["as_of"]}
    then = api.call("GET", "/users/{user_id}", path=path, query=query).body
    for name in ("level", "level_sd", "slope"):
        assert then[name] == pytest.approx(now[name])
