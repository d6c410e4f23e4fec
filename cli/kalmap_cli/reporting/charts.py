"""The charts of a batch, as descriptions of Vega-Lite."""

from collections.abc import Sequence
from typing import Any

from kalmap_cli.reporting.calibration import Bar
from kalmap_cli.reporting.palette import Palette
from kalmap_cli.reporting.timeline import Task

_SIZE = {"width": 430, "height": 200}
#: The kinds of tasks, each with its colour in a palette's series.
KINDS = {"critical path": 0, "others": 5, "failed": 1}


def histogram(bars: Sequence[Bar], title: str, palette: Palette) -> dict[str, Any]:
    """Bars of what was seen, and a line of what is expected."""
    rows = [
        {
            "start": bar.start,
            "end": bar.end,
            "share": 100 * bar.share,
            "expected": 100 * bar.expected,
            "text": f"{bar.start:.3g} to {bar.end:.3g}: {100 * bar.share:.1f} % of readings, "
            f"expected {100 * bar.expected:.1f} %",
        }
        for bar in bars
    ]
    # The line goes to the end of the last bar.
    ends = [{"start": bars[-1].end, "expected": 100 * bars[-1].expected}] if bars else []
    axis = {"title": title, "grid": False, "tickCount": 6}
    x = {"field": "start", "type": "quantitative", "axis": axis}
    y = {"type": "quantitative", "axis": {"title": "% of readings", "tickCount": 4}}
    return {
        **_SIZE,
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "bar", "aria": True, "color": palette.main, "binSpacing": 1},
                "encoding": {
                    "x": x | {"bin": {"binned": True}},
                    "x2": {"field": "end"},
                    "y": y | {"field": "share"},
                    "description": {"field": "text"},
                },
            },
            {
                "data": {"values": rows + ends},
                "mark": {
                    "type": "line",
                    "interpolate": "step-after",
                    "color": palette.wrong,
                    "strokeWidth": 2,
                },
                "encoding": {"x": x, "y": y | {"field": "expected"}},
            },
        ],
    }


def stacked(
    rows: Sequence[tuple[str, str, int]],
    reasons: Sequence[str],
    palette: Palette,
    *,
    is_time: bool,
) -> dict[str, Any]:
    """Bars of counts by reason, over places or moments.

    Args:
        rows: Place or moment, reason and count.
        reasons: In the order of their colours.
        palette: The colours.
        is_time: The places are dates.
    """
    values = [
        {"place": place, "reason": reason, "count": count, "text": f"{place}: {count:,} {reason}"}
        for place, reason, count in rows
    ]
    counts = {
        "field": "count",
        "type": "quantitative",
        "axis": {"title": "readings", "tickCount": 4, "tickMinStep": 1, "format": ",d"},
    }
    places: dict[str, Any] = {"field": "place", "type": "ordinal"}
    if is_time:
        places["axis"] = {
            "title": None,
            "labelAngle": 0,
            "labelOverlap": "greedy",
            "labelSeparation": 24,
        }
    else:
        places |= {"axis": {"title": None, "labelLimit": 140}, "sort": None}
    return {
        **(_SIZE if is_time else {"width": 380, "height": {"step": 26}}),
        "data": {"values": values},
        "mark": {"type": "bar", "aria": True, "stroke": palette.paper, "strokeWidth": 1},
        "encoding": {
            ("x" if is_time else "y"): places,
            ("y" if is_time else "x"): counts,
            "color": {
                "field": "reason",
                "type": "nominal",
                "scale": {"domain": list(reasons), "range": list(palette.series)},
                "legend": None,
            },
            "description": {"field": "text"},
        },
    }


def tasks_in_time(tasks: Sequence[Task], palette: Palette) -> dict[str, Any]:
    """Bars of tasks over seconds since the first one began."""
    begin = min((task.start for task in tasks), default=0.0)
    rows = [
        {
            "name": task.name,
            "start": task.start - begin,
            # A bar of no length would not be seen.
            "end": max(task.end, task.start + 0.001) - begin,
            "kind": kind_of(task),
            "text": f"{task.name}: {task.seconds:.2f} s from {task.start - begin:.2f} s on, "
            f"{kind_of(task)}",
        }
        for task in tasks
    ]
    return {
        "width": 700,
        "height": {"step": 18},
        # Browsers' fonts are wider than the one that the names were measured with.
        "padding": {"left": 40, "right": 8, "top": 6, "bottom": 4},
        "data": {"values": rows},
        "mark": {"type": "bar", "aria": True, "cornerRadius": 2, "height": 12},
        "encoding": {
            "y": {
                "field": "name",
                "type": "nominal",
                "sort": None,
                "axis": {"title": None, "labelLimit": 220},
            },
            "x": {
                "field": "start",
                "type": "quantitative",
                "axis": {"title": "seconds since the first task began", "tickCount": 8},
            },
            "x2": {"field": "end"},
            "color": {
                "field": "kind",
                "type": "nominal",
                "scale": {
                    "domain": list(KINDS),
                    "range": [palette.series[number] for number in KINDS.values()],
                },
                "legend": None,
            },
            "description": {"field": "text"},
        },
    }


def kind_of(task: Task) -> str:
    """Whether it failed or is on the critical path."""
    if task.error:
        return "failed"
    return "critical path" if task.is_critical else "others"
