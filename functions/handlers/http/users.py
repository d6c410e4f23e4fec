"""GET /users/{id}: what is believed of a user now, or expected at a later time."""

import time
from datetime import datetime
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from handlers.clients import work_bucket
from handlers.http.container import states, time_for
from handlers.http.gateway import Call, encoded
from kalmap.api.user_view import user_view
from kalmap.errors import InputNotFound, InvalidInput
from kalmap.filter.codec import digest_of
from kalmap.moments import aware_moment
from kalmap.profile import DEFAULT_PROFILE, MAX_NAME
from kalmap.records.measurement import MAX_ID_BYTES
from kalmap.store.profiles import Profiles

router = APIGatewayRouter()  # type: ignore[no-untyped-call]


@router.get("/users/<user_id>")
def get_user(user_id: str) -> Response[Any]:  # noqa: ARG001 - the router's name for it
    """A user's state, or what it is expected to be."""
    call = Call(router.current_event, router.lambda_context)
    user, profile = call.path("user_id"), call.name("profile") or DEFAULT_PROFILE
    at = _moment(call.query("at"))
    found = None
    # No empty or longer id or name has a state, and the table would refuse to look for one.
    if 0 < len(user.encode(errors="replace")) <= MAX_ID_BYTES and len(profile) <= MAX_NAME:
        found = states().get(profile, user, time.monotonic() + time_for(call.context))
    if found is None:
        raise InputNotFound(
            f"There is no state of this user under the profile {profile[:60]!r}. The parameter "
            "profile names another."
        )
    kept = Profiles(work_bucket()).find(found.profile, digest_of(found.state.body))
    return encoded(user_view(found, kept, at))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # In a query an unescaped plus sign means a space.
        return aware_moment(text.strip().replace(" ", "+"))
    except (msgspec.ValidationError, OverflowError, ValueError) as error:
        raise InvalidInput(
            "at must be a time with its offset, like 2026-03-01T07:12:00+01:00.", "at"
        ) from error
