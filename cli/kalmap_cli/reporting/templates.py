"""The pages' templates, filled. What stands in a page is escaped."""

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

_CODE = re.compile("`([^`]+)`")


def render(name: str, **content: Any) -> str:
    """Fill a template.

    Args:
        name: The template's.
        content: Its variables, besides the style sheet and the script that all pages have.
    """
    environment = Environment(
        loader=PackageLoader("kalmap_cli.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["with_code"] = _with_code
    script = _file("page.js")
    page: str = environment.get_template(name).render(
        content,
        style=Markup(_file("page.css")),  # noqa: S704 - a file of this package
        script=Markup(script),  # noqa: S704 - a file of this package
        script_hash=_hash(script),
    )
    return page


def _with_code(text: str) -> Markup:
    """A sentence with its commands set as code, which stand between backticks."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def _file(name: str) -> str:
    return (resources.files("kalmap_cli.reporting") / name).read_text()


def _hash(script: str) -> str:
    """The only script that the page's policy lets run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
