"""The pages' templates, filled. What stands in a page is escaped."""

import base64
import functools
import hashlib
import re
from importlib import resources
from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

_CODE = re.compile("`([^`]+)`")
_VARIABLE = re.compile(r"var\(--([a-z0-9-]+)\)")


def render(name: str, **content: Any) -> str:
    """Fill a template of a page that is one file.

    Args:
        name: The template's.
        content: Its variables, besides the style sheet and the script that all pages have.
    """
    style, script = file_of_pages("page.css"), file_of_pages("page.js")
    page: str = (
        _environment()
        .get_template(name)
        .render(
            content,
            layout="base.html.jinja",
            style=Markup(style),  # noqa: S704 - a file of this package
            script=Markup(script),  # noqa: S704 - a file of this package
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )
    return page


def environment_of(loader: BaseLoader) -> Environment:
    """What fills templates, and escapes all that stands in them."""
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"with_code": _with_code, "swatch": _swatch}
    return environment


def templates_of_pages() -> BaseLoader:
    """The templates of this package."""
    return PackageLoader("kalmap_cli.reporting", "")


@functools.cache
def file_of_pages(name: str) -> str:
    """A file of this package: the style sheet or the script of all pages."""
    return (resources.files("kalmap_cli.reporting") / name).read_text()


@functools.cache
def _environment() -> Environment:
    return environment_of(templates_of_pages())


def _with_code(text: str) -> Markup:
    """A sentence with its commands set as code, which stand between backticks."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def _swatch(colour: str) -> str:
    """The class that has a colour of the style sheet as its ground."""
    found = _VARIABLE.fullmatch(colour)
    if found is None:
        raise ValueError(f"{colour} is no colour of the style sheet")
    return found[1]


def _hash(content: str) -> str:
    """The only style or script that the page's policy allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
