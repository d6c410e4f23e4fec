"""Draw the stack's dashboard over a simulated day as CloudWatch would, for docs/operations.md.

The metrics are those that the real handlers emit of real batches and requests on the local cloud;
tests/support/simulated_day.py repeats them over a day, on which at ten o'clock a large batch meets
a table that is new. A widget's lines are computed by their statistic in each of its periods.

make pictures
"""

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pytest  # noqa: E402

import tests.support.environment  # noqa: E402, F401 - makes the secret of the table's process
from kalmap_cli.local.deploy import read_template  # noqa: E402
from kalmap_cli.reporting.drawing import draw_png  # noqa: E402
from kalmap_cli.reporting.palette import LIGHT  # noqa: E402
from tests.support.cloudwatch import ALARM, CloudWatch  # noqa: E402
from tests.support.dashboards import alarms, metric_of, placed_widgets  # noqa: E402
from tests.support.moto_engine import deployed  # noqa: E402
from tests.support.simulated_day import (  # noqa: E402
    HOUR,
    MINUTE,
    Day,
    ordinary_day,
    record_batches,
    record_requests,
    requests_every,
)

OUT = ROOT / "docs" / "dashboard.png"
#: Readings of the largest batch.
LARGEST = 120_000
#: Pixels of a unit of the dashboard's grid, across and down.
ACROSS, DOWN = 44, 40
COLOURS = [
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f",
    "#bcbd22", "#17becf", "#aec7e8", "#ffbb78", "#98df8a",
]  # fmt: skip


def a_day(stack: str) -> Day:
    """An ordinary day, with a first large batch at ten and a poisoned file at four."""
    with pytest.MonkeyPatch.context() as patch, deployed(patch) as engine:
        batches = record_batches(engine, patch, largest=LARGEST)
    with pytest.MonkeyPatch.context() as patch:
        requests = record_requests(patch)
    day = ordinary_day(stack, batches, requests)
    day.refused_batch(batches["writes refused"], 10 * HOUR, 33 * MINUTE)
    slow = [requests["throttled"]] * 3 + [requests["one user"]] * 2
    requests_every(day, slow, 45, 10 * HOUR, 10.6 * HOUR)
    day.batch(batches["poisoned"], 16 * HOUR)
    day.undelivered(17.5 * HOUR, 18 * HOUR)
    return day


def lines(day: CloudWatch, widget: dict[str, Any]) -> list[dict[str, Any]]:
    """The points of a widget's lines."""
    period, points = widget["period"], []
    sums: dict[str, list[float | None]] = {}
    for line in widget["metrics"]:
        options = line[-1]
        if isinstance(line[0], str):
            values = day.statistic(metric_of(line), options["stat"], period)
            sums[options.get("id", "")] = values
        else:
            # The one expression of the dashboard.
            assert options["expression"] == "100 * hits / (hits + misses)"
            values = [
                None if hits is None or misses is None or hits + misses == 0
                else 100 * hits / (hits + misses)
                for hits, misses in zip(sums["hits"], sums["misses"], strict=True)
            ]  # fmt: skip
        points += [
            {
                "hour": number * period / HOUR, "value": value, "line": options["label"],
                "axis": options.get("yAxis", "left"),
            }
            for number, value in enumerate(values)
        ]  # fmt: skip
    return points


def chart(day: CloudWatch, placed: dict[str, Any]) -> dict[str, Any]:
    """A widget as a chart of Vega-Lite, with a second scale where it has one."""
    widget = placed["properties"]
    points, labels = lines(day, widget), [line[-1]["label"] for line in widget["metrics"]]
    axes = sorted({point["axis"] for point in points})

    def layer(axis: str) -> dict[str, Any]:
        shown = [point for point in points if point["axis"] == axis]
        return {
            "data": {"values": shown},
            "mark": {
                "type": "line", "strokeWidth": 1.5, "point": {"size": 16},
                "invalid": "break-paths-show-domains",
                "strokeDash": [1, 0] if axis == "left" else [4, 2],
            },
            "encoding": {
                "x": {
                    "field": "hour", "type": "quantitative",
                    "scale": {"domain": [0, 24], "nice": False},
                    "axis": {"title": None, "values": list(range(0, 25, 4)), "format": "02d"},
                },
                "y": {
                    "field": "value", "type": "quantitative",
                    "axis": {"title": None, "orient": axis, "tickCount": 5, "format": "~s"},
                },
                "color": {
                    "field": "line", "type": "nominal",
                    "scale": {"domain": labels, "range": COLOURS[: len(labels)]},
                    "legend": {
                        "title": None, "orient": "bottom", "columns": max(2, placed["width"] // 4),
                        "labelFontSize": 11, "symbolType": "stroke", "labelLimit": 200,
                    },
                },
            },
        }  # fmt: skip

    return {
        "title": {"text": widget["title"]},
        "width": placed["width"] * ACROSS - 90,
        "height": placed["height"] * DOWN - 90,
        "layer": [layer(axis) for axis in axes],
        "resolve": {"scale": {"y": "independent"}},
    }


def states(day: CloudWatch, template: dict[str, Any], stack: str) -> dict[str, Any]:
    """The alarms' states over the day; CloudWatch shows those of the moment."""
    spans = [
        {"alarm": name, "from": number * period / HOUR, "to": (number + 1) * period / HOUR}
        for name, alarm in alarms(template, stack).items()
        for period in [alarm["Period"]]
        for number, state in enumerate(day.states(alarm))
        if state == ALARM
    ]
    names = list(alarms(template, stack))
    return {
        "title": {"text": "Alarms (CloudWatch shows their states of the moment)"},
        "width": 24 * ACROSS - 130,
        "height": len(names) * 16,
        "data": {"values": spans},
        "mark": {"type": "bar", "color": LIGHT.wrong},
        "encoding": {
            "x": {
                "field": "from", "type": "quantitative",
                "scale": {"domain": [0, 24], "nice": False},
                "axis": {"title": None, "values": list(range(0, 25, 4)), "format": "02d"},
            },
            "x2": {"field": "to"},
            "y": {
                "field": "alarm", "type": "nominal", "scale": {"domain": names},
                "axis": {"title": None, "labelFontSize": 11, "grid": True, "labelLimit": 200},
            },
        },
    }  # fmt: skip


def main() -> None:
    """Let the day pass, and draw it."""
    stack = os.environ["POWERTOOLS_SERVICE_NAME"]
    day = a_day(stack).cloudwatch()
    rows: dict[int, list[dict[str, Any]]] = {}
    template = read_template(ROOT / "template.yaml")
    for placed in placed_widgets(template, stack):
        drawn = chart(day, placed) if placed["type"] == "metric" else states(day, template, stack)
        rows.setdefault(placed["y"], []).append(drawn)
    apart = {"resolve": {"scale": {"color": "independent"}}, "spacing": 24}
    picture = {"vconcat": [{"hconcat": charts} | apart for charts in rows.values()]} | apart
    OUT.write_bytes(draw_png(picture, LIGHT, scale=1.0))
    print(OUT)


if __name__ == "__main__":
    main()
