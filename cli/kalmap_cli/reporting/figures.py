"""A chart of a page, with the words that say what it shows."""

from typing import Any, NamedTuple

from markupsafe import Markup

from kalmap_cli.reporting.drawing import draw_svg
from kalmap_cli.reporting.palette import OF_PAGE


class Figure(NamedTuple):
    """A chart and its words."""

    chart: Markup
    words: str
    key: list[tuple[str, str]]
    """Colours and what they stand for. Empty if there is one colour."""


def svg(chart: dict[str, Any]) -> Markup:
    """Draw a chart that stands in a page, inside an element that says what it shows.

    Vega has escaped all text in it.
    """
    drawn = draw_svg(chart, OF_PAGE).replace("<svg ", '<svg aria-hidden="true" ', 1)
    return Markup(drawn)  # noqa: S704
