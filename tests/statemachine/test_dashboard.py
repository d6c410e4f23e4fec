"""The dashboard, the alarms and the metrics of the real handlers are the same ones."""

import os
from collections import defaultdict

import pytest

from kalmap_cli.local.deploy import read_template
from kalmap_handlers.telemetry import metrics, observe_batch
from tests.support.api_function import Api
from tests.support.both_paths import reading
from tests.support.cloudwatch import samples
from tests.support.dashboards import alarms, metric_of, placed_widgets, shown, watched, widgets
from tests.support.statemachine_batches import batch, other_writer, readings
from tests.support.template import TEMPLATE


@pytest.fixture
def stack():
    return os.environ["POWERTOOLS_SERVICE_NAME"]


def test_every_metric_that_a_batch_or_a_request_emits_is_on_the_dashboard_and_the_other_way_round(
    engine, monkeypatch, capsys, stack
):
    moved = []

    def conflict(function, event, number):
        if function == "WriteFunction" and not moved:
            moved.append(True)
            # The first shard to be written has some of them.
            other_writer(engine, [f"user-{user}" for user in range(8)])

    engine.run(batch(engine.put("in/first.jsonl", readings(days=3))))
    engine.fault = conflict
    assert engine.run(batch(engine.put("in/a.jsonl", readings(days=4))))["status"] == "SUCCEEDED"
    for size in (50_000, 2_000_000):
        metrics.add_dimension("step", "complete")
        observe_batch(size, 9.0)
        metrics.flush_metrics()
    api = Api(monkeypatch)
    api.post([reading("u-1", 0), {}])
    api.post([])
    units = defaultdict(set)
    for one in samples(capsys.readouterr().out.splitlines()):
        units[one.metric].add(one.unit)
    found = set(units)
    assert {name for _, _, dimensions in found for name, _ in dimensions} == {"service", "step"}
    assert {dict(metric[2])["service"] for metric in found} == {stack}

    template = read_template(TEMPLATE)
    ours = {one for one in shown(template, stack) if one[0] == "kalmap"}
    assert ours - found == set()
    assert found - ours == set()
    assert_each_widget_names_the_units(template, stack, units)


def assert_each_widget_names_the_units(template, stack, units):
    """A metric has one unit, and a line that is not a count of something says its unit."""
    words = {"Seconds": "Seconds", "Megabytes": "MB", "Percent": "%"}
    assert {len(of_metric) for of_metric in units.values()} == {1}
    for widget in widgets(template, stack):
        for line in widget["metrics"]:
            if line[0] != "kalmap" or line[-1]["stat"] == "SampleCount":
                continue
            [unit] = units[metric_of(line)]
            said = f"{widget['title']} {line[-1]['label']}"
            assert [name for name, word in words.items() if word in said] == (
                [unit] if unit in words else []
            ), said


def test_every_alarm_can_be_seen_on_the_dashboard(stack):
    template = read_template(TEMPLATE)
    assert watched(template, stack) <= shown(template, stack)
    [states] = [one for one in placed_widgets(template, stack) if one["type"] == "alarm"]
    told = states["properties"]["alarms"]
    assert sorted(told) == sorted(f"{stack}/{name}.Arn" for name in alarms(template, stack))


def test_the_dashboard_has_the_seven_metrics_of_its_plan_and_the_progress_of_maps(stack):
    titles = " ".join(widget["title"] for widget in widgets(read_template(TEMPLATE), stack))
    for words in (
        "Size of batches",
        "Seconds of batches, by size",
        "Memory of batches",
        "Requests to the database",
        "Cache of the API",
        "Errors by type",
        "Timeouts",
        "Progress of the Map Runs",
    ):
        assert words in titles


def test_the_page_on_deployment_counts_the_metrics(stack):
    ours = [one for one in shown(read_template(TEMPLATE), stack) if one[0] == "kalmap"]
    page = (TEMPLATE.parent / "docs" / "deployment.md").read_text()
    assert f"at most {len(ours)} of\nthem." in page
