"""The route /users/{user_id}."""

import time
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter

from kalmap.api.user_view import find_user, prediction_time, user_view
from kalmap.profile import DEFAULT_PROFILE
from kalmap.store.profiles import Profiles
from kalmap_handlers.clients import work_bucket
from kalmap_handlers.http.container import cached_states, seconds_for_request
from kalmap_handlers.http.gateway import Call, json_response

router = APIGatewayRouter()  # type: ignore[no-untyped-call]


@router.get("/users/<user_id>")
def get_user(user_id: str) -> Response[Any]:  # noqa: ARG001 - the router's name for it
    """Show a user's state, or its prediction for a later time."""
    call = Call(router.current_event, router.lambda_context)
    profile = call.query_name("profile") or DEFAULT_PROFILE
    at = prediction_time(call.query("at"))
    deadline = time.monotonic() + seconds_for_request(call.context)
    state, stored_profile = find_user(
        call.path("user_id"), profile, cached_states(), Profiles(work_bucket()), deadline
    )
    return json_response(user_view(state, stored_profile, at))
