"""The console's pages: their templates, filled, and the files that all of them have."""

import functools
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from kalmap.errors import InputNotFound
from kalmap_cli.deployment import Deployment
from kalmap_cli.reporting.templates import environment_of, file_of_pages, templates_of_pages

#: Nothing of a page may stay in the browser's cache: it is about people.
_HEADERS = {"cache-control": "no-store"}


def deployment_of(request: Request) -> Deployment:
    """What the console is about."""
    deployment: Deployment = request.app.state.deployment
    return deployment


def page(
    request: Request,
    template: str,
    *,
    code: int = 200,
    headers: dict[str, str] | None = None,
    **content: Any,
) -> HTMLResponse:
    """A page.

    Args:
        request: What it answers.
        template: Its template.
        code: The status of HTTP.
        headers: Of HTTP, besides those of each page.
        content: The template's variables.
    """
    text = fragment(request, template, **content)
    return HTMLResponse(text, code, _HEADERS | (headers or {}))


def fragment(request: Request, template: str, **content: Any) -> str:
    """A template, filled: a page, or a part of one."""
    text: str = (
        _environment()
        .get_template(template)
        .render(
            content,
            layout="console.html.jinja",
            base=request.app.state.folder,
            options=deployment_of(request).options,
            path=request.url.path,
        )
    )
    return text


def part(
    request: Request, template: str, content: dict[str, Any], *, said: str = ""
) -> JSONResponse:
    """A part of a page as it is now, for the page that shows it while something runs.

    Args:
        request: What it answers.
        template: Of the part.
        content: Its variables. `running` says whether to ask again.
        said: What is read out to those who do not see it.
    """
    html = fragment(request, template, **content)
    return JSONResponse({"html": html, "running": content["running"], "said": said}, 200, _HEADERS)


def asset(request: Request) -> Response:
    """A file that all pages have: the style sheet, the script, or the icon."""
    name = request.path_params["name"]
    if name not in _ASSETS:
        raise InputNotFound("There is no such file.")
    kind, parts = _ASSETS[name]
    text = "".join(read(part) for read, part in parts)
    return Response(text, media_type=kind, headers=_HEADERS)


@functools.cache
def _file(name: str) -> str:
    return (resources.files("kalmap_cli.console") / name).read_text()


#: The files that all pages have: the type of each, and what it is made of.
_ASSETS = {
    "style.css": ("text/css", [(file_of_pages, "page.css"), (_file, "console.css")]),
    "script.js": ("text/javascript", [(file_of_pages, "page.js"), (_file, "console.js")]),
    "icon.svg": ("image/svg+xml", [(_file, "icon.svg")]),
}


@functools.cache
def _environment() -> Environment:
    environment = environment_of(
        ChoiceLoader([PackageLoader("kalmap_cli.console", "templates"), templates_of_pages()])
    )
    environment.filters |= {"figure": _figure, "moment": _moment, "value": _value}
    return environment


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:,}"


def _value(number: float | None) -> str:
    return "" if number is None else f"{number:,.6g}"


def _moment(time: datetime | str | None) -> str:
    """A time in UTC as people read it."""
    if isinstance(time, datetime):
        time = time.astimezone(UTC).isoformat()
    return (time or "")[:19].replace("T", " ")
