"""Draw one user's readings and estimates, as kalmap wrote them, into an SVG file.

python examples/picture.py results/results.jsonl u-000064 picture.svg
"""

import json
import math
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 860, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 48, 40
#: Space above and below the estimates, as a share of their range. Readings beyond it are drawn at
#: the edge.
MARGIN = 0.35
#: The half-width of a 95 % interval, in standard deviations.
INTERVAL = 1.96
INK, GREY, BAND, LINE, WRONG = "#24292f", "#8c959f", "#cfe3fb", "#0a62c9", "#cf222e"


def results_of(path: Path, user: str) -> list[dict[str, Any]]:
    """The user's readings that were filtered, in order of time."""
    with path.open() as lines:
        results = [json.loads(line) for line in lines if f'"{user}"' in line]
    # Only a reading that was filtered has a level.
    filtered = [r for r in results if r["user_id"] == user and r["level"] is not None]
    if not filtered:
        sys.exit(f"{path} has no reading of {user} that was filtered.")
    return sorted(filtered, key=lambda result: result["timestamp"])


class Axes:
    """Pixels of times and values."""

    def __init__(self, results: list[dict[str, Any]]) -> None:
        times = [datetime.fromisoformat(r["timestamp"]) for r in results]
        self.start, self.end = min(times), max(times)
        low = min(r["level"] - INTERVAL * r["level_sd"] for r in results)
        high = max(r["level"] + INTERVAL * r["level_sd"] for r in results)
        margin = MARGIN * (high - low)
        self.low, self.high = low - margin, high + margin

    def x(self, time: datetime) -> float:
        """Pixels from the left."""
        share = (time - self.start) / ((self.end - self.start) or timedelta(days=1))
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Pixels from the top. A value outside the axis is drawn at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def lines(self) -> Iterator[str]:
        """The lines of the grid, with values at the left and dates below."""
        step = _round_step((self.high - self.low) / 5)
        value = step * int(self.low / step + 1)
        while value < self.high:
            y = self.y(value)
            yield f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#eaeef2"/>'
            yield _text(LEFT - 8, y + 4, f"{value:g}", anchor="end")
            value += step
        days = max(1, round((self.end - self.start).days / 6))
        day = self.start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        while day <= self.end:
            yield _text(self.x(day), HEIGHT - BOTTOM + 20, f"{day:%d %b}", anchor="middle")
            day += timedelta(days=days)


def _round_step(step: float) -> float:
    """The smallest of 1, 2, 5 or 10 times a power of ten that is not below `step`."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step)


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = GREY) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def picture(results: list[dict[str, Any]], user: str) -> str:
    """The picture, as SVG."""
    axes = Axes(results)
    times = [axes.x(datetime.fromisoformat(r["timestamp"])) for r in results]
    levels = [axes.y(r["level"]) for r in results]
    upper = [axes.y(r["level"] + INTERVAL * r["level_sd"]) for r in results]
    lower = [axes.y(r["level"] - INTERVAL * r["level_sd"]) for r in results]
    band = list(zip(times, upper, strict=True)) + list(zip(times, lower, strict=True))[::-1]
    line = list(zip(times, levels, strict=True))
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *axes.lines(),
        f'<polygon points="{_points(band)}" fill="{BAND}"/>',
        f'<polyline points="{_points(line)}" fill="none" stroke="{LINE}" stroke-width="2"/>',
    ]
    for x, result in zip(times, results, strict=True):
        y = axes.y(result["value"])
        if result["status"] == "accepted":
            parts.append(f'<circle cx="{x}" cy="{y}" r="3.2" fill="{INK}"/>')
            if result.get("restarted"):
                parts.append(_text(x + 8, y - 8, "restarted here", colour=LINE))
        else:
            parts.append(
                f'<path d="M{x - 4} {y - 4}l8 8m0 -8l-8 8" stroke="{WRONG}" stroke-width="2"/>'
            )
            inside = axes.low < result["value"] < axes.high
            note = result["reason"].replace("_", " ")
            note = note if inside else f"{note}: {result['value']:g}"
            late = x > 0.8 * WIDTH
            anchor = "end" if late else "start"
            parts.append(_text(x - 8 if late else x + 8, y + 4, note, anchor=anchor, colour=WRONG))
    legend = (
        (f'<circle cx="0" cy="-4" r="3.2" fill="{INK}"/>', "accepted reading"),
        (f'<path d="M-4 -8l8 8m0 -8l-8 8" stroke="{WRONG}" stroke-width="2"/>', "rejected reading"),
        (f'<path d="M-8 -4h16" stroke="{LINE}" stroke-width="2"/>', "level"),
        (f'<path d="M-8 -4h16" stroke="{BAND}" stroke-width="10"/>', "95 % interval of the level"),
    )
    parts.append(_text(LEFT, 24, user, colour=INK))
    x = LEFT + 120
    for drawn, name in legend:
        parts.append(f'<g transform="translate({x} 24)">{drawn}</g>{_text(x + 14, 24, name)}')
        x += 50 + 7 * len(name)
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    results_file, user_id, out = sys.argv[1:]
    Path(out).write_text(picture(results_of(Path(results_file), user_id), user_id))
