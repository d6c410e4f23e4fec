"""The dashboard and the alarms of the template, in a stack of some name."""

import json
from typing import Any

from tests.support.cloudwatch import Metric
from tests.support.transformed_template import filled, of_type


def placed_widgets(template: dict[str, Any], stack: str) -> list[dict[str, Any]]:
    """The widgets in a stack of this name, each with its place on the grid."""
    [dashboard] = of_type(template, "AWS::CloudWatch::Dashboard").values()
    return list(json.loads(filled(dashboard["DashboardBody"], stack))["widgets"])


def widgets(template: dict[str, Any], stack: str) -> list[dict[str, Any]]:
    """The properties of each widget of metrics."""
    placed = placed_widgets(template, stack)
    return [widget["properties"] for widget in placed if widget["type"] == "metric"]


def shown(template: dict[str, Any], stack: str) -> set[Metric]:
    """The metrics of all widgets."""
    return {
        metric_of(line)
        for widget in widgets(template, stack)
        for line in widget["metrics"]
        if isinstance(line[0], str)
    }


def metric_of(line: list[Any]) -> Metric:
    """The metric of a widget's line."""
    return line[0], line[1], frozenset(zip(line[2:-1:2], line[3:-1:2], strict=True))


def alarms(template: dict[str, Any], stack: str) -> dict[str, dict[str, Any]]:
    """The alarms' properties, by their logical ids."""
    found = of_type(template, "AWS::CloudWatch::Alarm")
    return {
        name: alarm | {"Dimensions": filled(alarm["Dimensions"], stack)}
        for name, alarm in found.items()
    }


def watched(template: dict[str, Any], stack: str) -> set[Metric]:
    """The metrics of all alarms."""
    return {
        (
            alarm["Namespace"],
            alarm["MetricName"],
            frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"]),
        )
        for alarm in alarms(template, stack).values()
    }
