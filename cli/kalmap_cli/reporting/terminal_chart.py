"""One user's readings and level as a chart of characters."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import plotille

from kalmap_cli.reporting.estimates import INTERVAL
from kalmap_cli.reporting.user_chart import Point, value_range

_HEIGHT = 16
#: Columns that the axis of values takes.
_AXIS = 20


def chart_lines(
    points: Sequence[Point],
    expected: Sequence[Point],
    unit: str,
    *,
    width: int,
    colours: bool,
) -> list[str]:
    """Draw a user.

    Args:
        points: The readings, in order of time, at least one.
        expected: What is expected later.
        unit: Of the values.
        width: Columns of the terminal.
        colours: Use colours.
    """
    figure = plotille.Figure()
    figure.width, figure.height = max(width - _AXIS, 20), _HEIGHT
    figure.y_label, figure.x_label = unit, ""
    figure.color_mode = "names"
    figure.with_colors = colours
    everything = [*points, *expected]
    low, high = value_range(everything)
    # What is at an edge needs a row.
    row = (high - low) / _HEIGHT
    figure.set_y_limits(low - row, high + row)
    start, end = points[0].time, everything[-1].time
    figure.set_x_limits(start, max(end, start + timedelta(days=1)))
    places = max(0, 1 - math.floor(math.log10((high - low) / 5)))
    figure.register_label_formatter(float, _value_label(places))
    figure.register_label_formatter(datetime, _time_label)
    for course in (points, expected):
        known = [point for point in course if not math.isnan(point.level)]
        times = [point.time for point in known]
        for sign in (-1, 1):
            edge = [point.level + sign * INTERVAL * point.level_sd for point in known]
            figure.plot(times, edge, lc="bright_black" if colours else None)
        if course is points:
            figure.plot(times, [point.level for point in known], lc="blue" if colours else None)
    for status, marker, colour in (("accepted", "•", None), ("rejected", "x", "red")):
        shown = [point for point in points if point.status == status]
        figure.scatter(
            [point.time for point in shown],
            [min(max(point.value, low), high) for point in shown],
            marker=marker,
            lc=colour if colours else None,
        )
    # A blank of the dots' own is as wide as a space, but does not end a line.
    lines = str(figure.show()).replace("\u2800", " ").replace("> ()", ">").splitlines()
    return [line.rstrip() for line in lines]


def _value_label(places: int) -> Any:
    def label(value: float, chars: int, left: bool = False, **_: object) -> str:
        text = f"{value:,.{places}f}"
        return text.ljust(chars) if left else text.rjust(chars)

    return label


def _time_label(value: datetime, chars: int, left: bool = False, **_: object) -> str:
    text = f"{value:%d %b}"
    return text.ljust(chars) if left else text.rjust(chars)
