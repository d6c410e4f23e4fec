"""One user's readings and level: the description of a chart, for pages and for files."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from kalmap_cli.reporting.estimates import INTERVAL
from kalmap_cli.reporting.palette import Palette
from kalmap_cli.reporting.words import REASONS, with_margin

#: Space above and below the level's band, as a share of its height. A value beyond it is drawn at
#: the edge.
_MARGIN = 0.35
#: Readings that one chart has; the newest are drawn.
MOST_DRAWN = 120


class Point(NamedTuple):
    """A reading and the level at its time; NaN stands for a level that is not known."""

    time: datetime
    """With its offset."""
    value: float
    status: str
    reason: str | None
    level: float
    level_sd: float
    restarted: bool = False
    is_prediction: bool = False
    """No reading: the level that is expected at this time. `value` is NaN."""


def user_chart(
    points: Sequence[Point], unit: str, palette: Palette, size: tuple[int, int] = (430, 210)
) -> dict[str, Any]:
    """Describe the chart of a user.

    Args:
        points: In order of time, at least one.
        unit: Of the values.
        palette: The colours.
        size: Width and height in pixels.
    """
    low, high = value_range(points)
    rows = [_row(point, unit, (low, high)) for point in points]
    time = {
        "field": "time",
        "type": "temporal",
        "scale": {"type": "utc"},
        "axis": {"title": None, "grid": False, "tickCount": 5, "labelOverlap": True},
    }
    value = {
        "type": "quantitative",
        "scale": {"domain": [low, high], "zero": False, "nice": False},
        "axis": {"title": None, "tickCount": 5},
    }
    line: dict[str, Any] = {"type": "line", "color": palette.main, "strokeWidth": 2}
    return {
        "width": size[0],
        "height": size[1],
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "area", "color": palette.band, "opacity": 1},
                "encoding": {"x": time, "y": value | {"field": "low"}, "y2": {"field": "high"}},
            },
            *(
                {
                    "transform": [{"filter": f"datum.kind {sign} 'prediction'"}],
                    "mark": mark,
                    "encoding": {"x": time, "y": value | {"field": "level"}},
                }
                for sign, mark in (("!=", line), ("==", line | {"strokeDash": [2, 4]}))
            ),
            {
                "transform": [{"filter": "datum.restarted"}],
                "mark": {"type": "rule", "color": palette.main, "strokeDash": [4, 3]},
                "encoding": {"x": time},
            },
            *(
                {
                    "transform": [{"filter": f"datum.kind == '{kind}'"}],
                    "mark": mark,
                    "encoding": {
                        "x": time,
                        "y": value | {"field": "drawn"},
                        "description": {"field": "text", "type": "nominal"},
                    },
                }
                for kind, mark in _marks(palette).items()
            ),
        ],
    }


#: Two strokes: it stands out from a dot without its colour.
_CROSS = "M-0.5,-0.5L0.5,0.5M0.5,-0.5L-0.5,0.5"


def _marks(palette: Palette) -> dict[str, dict[str, Any]]:
    """How accepted and rejected readings look."""
    point = {"type": "point", "aria": True, "opacity": 1}
    cross = {"shape": _CROSS, "stroke": palette.wrong, "size": 360, "strokeWidth": 2.5}
    return {
        "accepted": point | {"filled": True, "color": palette.ink, "size": 26},
        "rejected": point | cross,
    }


def value_range(points: Sequence[Point]) -> tuple[float, float]:
    """The lowest and highest value that a chart shows."""
    bands = [
        (p.level - INTERVAL * p.level_sd, p.level + INTERVAL * p.level_sd)
        for p in points
        if not math.isnan(p.level)
    ]
    accepted = [p.value for p in points if p.status == "accepted" and not p.is_prediction]
    ends = [end for band in bands for end in band] + accepted
    if not ends:
        ends = [p.value for p in points if not math.isnan(p.value)]
    low, high = min(ends), max(ends)
    margin = _MARGIN * (high - low) or 0.01 * abs(high) or 1.0
    return low - margin, high + margin


def _row(point: Point, unit: str, ends: tuple[float, float]) -> dict[str, Any]:
    """A point as Vega-Lite reads it."""
    known = not math.isnan(point.level)
    margin = INTERVAL * point.level_sd
    kind = "accepted" if point.status == "accepted" else "rejected"
    return {
        "time": point.time.astimezone(UTC).isoformat(),
        "kind": "prediction" if point.is_prediction else kind,
        "drawn": None if math.isnan(point.value) else min(max(point.value, ends[0]), ends[1]),
        "level": point.level if known else None,
        "low": point.level - margin if known else None,
        "high": point.level + margin if known else None,
        "restarted": point.restarted,
        "text": describe_point(point, unit),
    }


def describe_point(point: Point, unit: str) -> str:
    """A point in words, such as `2 March 07:12: 81.1 kg, accepted; level 81.2 ± 0.4`."""
    when = f"{point.time.day} {point.time:%B %Y %H:%M}"
    level = (
        ""
        if math.isnan(point.level)
        else f"; level {with_margin(point.level, INTERVAL * point.level_sd)}"
    )
    if point.is_prediction:
        return f"{when}: expected{level.removeprefix(';')} {unit}"
    why = f", {REASONS.get(point.reason, point.reason)}" if point.reason else ""
    return f"{when}: {point.value:.6g} {unit}, {point.status}{why}{level}"
