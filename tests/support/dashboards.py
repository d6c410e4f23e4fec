"""The dashboard of the template, and the metrics that functions emit, in the same form."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.support.transformed_template import filled, of_type

#: Namespace, name, and dimensions with their values.
Metric = tuple[str, str, frozenset[tuple[str, str]]]


def widgets(template: dict[str, Any], stack: str) -> list[dict[str, Any]]:
    """The properties of each widget in a stack of this name."""
    [dashboard] = of_type(template, "AWS::CloudWatch::Dashboard").values()
    body = json.loads(filled(dashboard["DashboardBody"], stack))
    return [widget["properties"] for widget in body["widgets"]]


def shown(template: dict[str, Any], stack: str) -> set[Metric]:
    """The metrics of all widgets."""
    return {
        (line[0], line[1], frozenset(zip(line[2:-1:2], line[3:-1:2], strict=True)))
        for widget in widgets(template, stack)
        for line in widget["metrics"]
        if isinstance(line[0], str)
    }


def watched(template: dict[str, Any], stack: str) -> set[Metric]:
    """The metrics of all alarms."""
    return {
        (
            alarm["Namespace"],
            alarm["MetricName"],
            frozenset((one["Name"], one["Value"]) for one in filled(alarm["Dimensions"], stack)),
        )
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
    }


def emitted(lines: Iterable[str]) -> Iterator[Metric]:
    """The metrics in a function's output, as CloudWatch takes them from its log."""
    for line in lines:
        if '"_aws"' not in line:
            continue
        record = json.loads(line)
        for part in record["_aws"]["CloudWatchMetrics"]:
            [names] = part["Dimensions"]
            dimensions = frozenset((name, record[name]) for name in names)
            for metric in part["Metrics"]:
                yield part["Namespace"], metric["Name"], dimensions
