"""The pages about users: who needs a look, and one user with the chart of their readings."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from kalmap.errors import InputNotFound
from kalmap.records.measurement import MAX_ID_BYTES
from kalmap.store.profiles import Profiles
from kalmap_cli.console.pages import deployment_of, page
from kalmap_cli.errors import WrongUsage
from kalmap_cli.reporting.estimates import INTERVAL
from kalmap_cli.reporting.stored_users import COLUMNS, ORDERS
from kalmap_cli.reporting.user_picture import drawn_for_page
from kalmap_cli.reporting.user_state import rejections_of, story_of, summary_of
from kalmap_cli.reporting.words import REASONS, with_margin

#: Users of a page.
_PAGE = 50
#: How long a page waits for the users before it shows those it has.
_PATIENCE = 0.15
#: What each order asks, in words.
_QUESTIONS = {
    "drift": "Slope beyond its uncertainty",
    "rejections": "Share of rejected readings",
    "quality": "Low quality",
    "silent": "Oldest newest reading",
}


def user_list(request: Request) -> Response:
    """The users of a profile in the order of a question, or those whose id has a text in it."""
    query = request.query_params
    by, wanted = query.get("by", "drift"), query.get("search", "").strip()
    if by not in ORDERS:
        raise WrongUsage(f"by must be one of {', '.join(ORDERS)}.")
    snapshot = request.app.state.users.get(_PATIENCE)
    if snapshot is None:
        return page(request, "reading.html.jinja", headers={"refresh": "1"})
    chosen = _number(query.get("group"), len(snapshot.groups) - 1)
    content: dict[str, Any] = {
        "snapshot": snapshot, "by": by, "questions": _QUESTIONS, "search": wanted,
        "chosen": chosen, "columns": COLUMNS,
    }  # fmt: skip
    if not snapshot.groups:
        return page(request, "users.html.jinja", **content, rows=[], found=0, number=1, pages=1)
    group = snapshot.groups[chosen]
    order = snapshot.orders[chosen][by]
    if wanted:
        text = wanted.lower()
        order = [user for user in order if text in group.users[user].lower()]
    pages = max(1, -(-len(order) // _PAGE))
    number = _number(query.get("page"), pages, first=1)
    shown = order[(number - 1) * _PAGE : number * _PAGE]
    rows = [(group.users[user], group.cells(user)) for user in shown]
    return page(
        request, "users.html.jinja", **content, rows=rows, found=len(order), number=number,
        pages=pages,
    )  # fmt: skip


def user(request: Request) -> Response:
    """One user, under each profile that has a state of them."""
    name = request.query_params.get("id", "")
    deployment = deployment_of(request)
    can_be = 0 < len(name.encode("utf-8", "replace")) <= MAX_ID_BYTES
    found = deployment.states.of_user(name) if can_be else ()
    states = sorted(found, key=lambda state: state.profile)
    if not states:
        raise InputNotFound(f"There is no stored state of user {name!r}.")
    profiles = Profiles(deployment.objects)
    stories = [story_of(state, profiles) for state in states]
    return page(
        request,
        "user-page.html.jinja",
        name=name,
        stories=[
            {
                "profile": story.profile.name,
                "unit": story.unit,
                "chart": drawn_for_page(story),
                "rows": summary_of(story),
                "rejections": rejections_of(story),
                "points": [
                    {
                        "time": f"{point.time:%Y-%m-%d %H:%M}",
                        "value": f"{point.value:,.6g}",
                        "status": point.status,
                        "why": REASONS.get(point.reason or "", point.reason or ""),
                        "level": with_margin(point.level, INTERVAL * point.level_sd),
                        "restarted": point.restarted,
                    }
                    for point in reversed(story.points)
                ],
            }
            for story in stories
        ],
    )


def _number(text: str | None, last: int, *, first: int = 0) -> int:
    """A place in a list; its nearest end if it is beyond one."""
    number = int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else first
    return max(first, min(number, last))
