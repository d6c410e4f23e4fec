"""Charts drawn by Vega-Lite: SVG and PNG from a description, without a browser or a network."""

import re
from typing import Any

import vl_convert

from kalmap_cli.reporting.palette import OF_PAGE, Palette

#: Vega-Lite's version of the descriptions.
_VERSION = "5.21"
_FONT = "system-ui, sans-serif"
_TEXT_PIXELS = 13
_PNG_SCALE = 2.0
#: What no XML may have, and so no SVG. One of them in a text ends the whole process.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def start_drawing() -> None:
    """Draw for the first time, which takes half a second more than later."""
    draw_svg({"data": {"values": []}, "mark": "point"}, OF_PAGE)


def draw_svg(chart: dict[str, Any], palette: Palette) -> str:
    """Draw a chart as SVG.

    Args:
        chart: A description of Vega-Lite without its configuration.
        palette: The one that the description was made with.
    """
    svg: str = vl_convert.vegalite_to_svg(_complete(chart, palette), vl_version=_VERSION)
    return svg


def draw_png(chart: dict[str, Any], palette: Palette, scale: float = _PNG_SCALE) -> bytes:
    """Draw a chart as PNG, twice as large as it is in SVG or in another scale."""
    png: bytes = vl_convert.vegalite_to_png(
        _complete(chart, palette), vl_version=_VERSION, scale=scale
    )
    return png


def _complete(chart: dict[str, Any], palette: Palette) -> dict[str, Any]:
    complete: dict[str, Any] = _as_xml(_configured(chart, palette))
    return complete


def _as_xml(part: Any) -> Any:
    """A description in whose texts each character can stand in an SVG. Users choose some texts."""
    if isinstance(part, str):
        return _NOT_XML.sub("\ufffd", part)
    if isinstance(part, dict):
        return {name: _as_xml(value) for name, value in part.items()}
    return [_as_xml(value) for value in part] if isinstance(part, list) else part


def _configured(chart: dict[str, Any], palette: Palette) -> dict[str, Any]:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": None if palette is OF_PAGE else palette.paper,
        "padding": {"left": 14, "right": 8, "top": 6, "bottom": 4},
        **chart,
        "config": {
            # A chart has one description as a whole; marks have theirs where they say more.
            "aria": False,
            "font": _FONT,
            "view": {"stroke": None},
            "axis": {
                "labelColor": palette.muted,
                "titleColor": palette.muted,
                "gridColor": palette.grid,
                "domainColor": palette.muted,
                "tickColor": palette.muted,
                "labelFontSize": _TEXT_PIXELS,
                "titleFontSize": _TEXT_PIXELS,
                "titleFontWeight": "normal",
                "titlePadding": 10,
            },
            "title": {"color": palette.ink, "fontSize": 15, "anchor": "start"},
            "text": {"color": palette.ink, "fontSize": _TEXT_PIXELS},
        },
    }
