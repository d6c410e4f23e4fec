"""One user as a picture of its own: SVG, PNG, or a page."""

from typing import Any

from markupsafe import Markup

from kalmap_cli.reporting.drawing import draw_png, draw_svg
from kalmap_cli.reporting.figures import svg
from kalmap_cli.reporting.palette import LIGHT, OF_PAGE, Palette
from kalmap_cli.reporting.templates import render
from kalmap_cli.reporting.user_chart import user_chart
from kalmap_cli.reporting.user_state import UserStory, rejections_of, summary_of

_SIZE = (720, 320)


def as_svg(story: UserStory) -> bytes:
    """Draw a user as SVG."""
    return draw_svg(_with_title(story), LIGHT).encode()


def as_png(story: UserStory) -> bytes:
    """Draw a user as PNG."""
    return draw_png(_with_title(story), LIGHT)


def as_page(story: UserStory) -> bytes:
    """Write a page with a user's chart, and what it says in words."""
    return render(
        "user.html.jinja",
        title=f"kalmap: {story.user}",
        user=story.user,
        profile=story.profile.name,
        drawn=drawn_for_page(story),
        rows=summary_of(story),
        rejections=rejections_of(story),
    ).encode()


def drawn_for_page(story: UserStory) -> Markup:
    """Draw a user as SVG that stands in a page."""
    return svg(_chart(story, OF_PAGE))


def _chart(story: UserStory, palette: Palette) -> dict[str, Any]:
    return user_chart([*story.points, *story.expected], story.unit, palette, _SIZE)


def _with_title(story: UserStory) -> dict[str, Any]:
    words = dict(summary_of(story))
    subtitle = [f"level {words['level']}", f"slope {words['slope']}"]
    title = {
        "text": f"{story.user}, {story.profile.name}, {story.unit}",
        "subtitle": subtitle,
        "subtitleColor": LIGHT.muted,
        "subtitleFontSize": 13,
    }
    return _chart(story, LIGHT) | {"title": title}
