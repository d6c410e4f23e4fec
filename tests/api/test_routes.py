"""The routes as a whole: health, the document, logs and metrics."""

import json
import os
import re

from kalmap.api.openapi import OPERATIONS
from kalmap_cli.local.deploy import read_template
from tests.support.both_paths import reading
from tests.support.template import TEMPLATE


def test_health_says_what_the_container_holds(api):
    api.post([reading("u-1", 0)])
    response = api.call("GET", "/health").body
    assert (response["status"], response["circuit"], response["cached_states"]) == (
        "ok",
        "closed",
        1,
    )


def test_template_document_and_routes_are_the_same_paths():
    from kalmap_handlers.http.app import app

    described = {(one.method, one.path) for one in OPERATIONS}
    events = read_template(TEMPLATE)["Resources"]["ApiFunction"]["Properties"]["Events"].values()
    deployed = {(e["Properties"]["Method"], e["Properties"]["Path"]) for e in events}
    routed = {
        (route.method.lower(), re.sub(r"<(\w+)>", r"{\1}", route.path))
        for route in app._static_routes + app._dynamic_routes
    }
    assert described == deployed == routed


def test_no_log_line_and_no_metric_names_a_user_or_a_value(api, capsys, log):
    records = [reading("private-user", hour, 77.125) for hour in range(3)]
    api.post([*records, {"user_id": "private-user"}], Idempotency_Key="private-key")
    api.call("POST", "/batches", {"source": {"bucket": api.bucket, "key": "none"}})
    path = {"user_id": "private-user"}
    api.call("GET", "/users/{user_id}", path=path)
    api.call("POST", "/measurements", {"measurements": records, "profile": "no"})
    printed = capsys.readouterr()
    lines = (printed.out + printed.err + log.getvalue()).splitlines()
    assert any('"request answered"' in line for line in lines)
    assert any("CacheHits" in line for line in lines)
    for line in lines:
        assert "private" not in line
        assert "77.125" not in line


def test_the_metrics_that_alarms_look_at_are_counted(api, capsys):
    api.post([reading("u-1", 0), reading("u-2", 0), {}])
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    counted = metrics[-1]
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
    assert named == {"MemoryShare", "Throttles", "TimedOut"}
    assert named <= set(counted)
    assert counted["Errors"] == [0.0]
    # The dimensions are those by which the alarms find them.
    ours = [a["Dimensions"] for a in alarms if a.get("Namespace") == "kalmap"]
    dimensions = [d for one in ours if {"Name": "step", "Value": "api"} in one for d in one]
    [names] = counted["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert set(names) == {dimension["Name"] for dimension in dimensions}
    stack = os.environ["POWERTOOLS_SERVICE_NAME"]
    assert {(d["Name"], str(d["Value"])) for d in dimensions} == {
        ("service", "{'Ref': 'AWS::StackName'}"), ("step", counted["step"]),
    }  # fmt: skip
    assert counted["service"] == stack
