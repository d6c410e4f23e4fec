"""The route /measurements."""

import uuid
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from aws_lambda_powertools.metrics import MetricUnit

from kalmap.api.answer_request import Answer, answer_request
from kalmap.api.idempotency import ComputedAnswer, KeyedRequest, answer_once
from kalmap.api.links import LINK_SECONDS
from kalmap.api.measurements import encode_answer, read_request
from kalmap.api.payload import measurements_limit
from kalmap.api.schemas import Measurements
from kalmap.keys import ANSWERS
from kalmap.moments import microseconds
from kalmap_handlers.clients import answer_store, work_bucket
from kalmap_handlers.http.container import (
    cached_states,
    pace,
    publish_frequent_users,
    recent_states,
    request_profiles,
    settings,
)
from kalmap_handlers.http.gateway import Call, compressed_response
from kalmap_handlers.http.signing import sign_get
from kalmap_handlers.telemetry import metrics, now

router = APIGatewayRouter()  # type: ignore[no-untyped-call]

_KEY_HEADER = "idempotency-key"


@router.post("/measurements")
def post_measurements() -> Response[Any]:
    """Fold measurements into their users' states."""
    call = Call(router.current_event, router.lambda_context)
    if call.has_header(_KEY_HEADER):
        request = KeyedRequest(call.caller, call.header(_KEY_HEADER), call.body, call.seconds_left)
        payload = answer_once(request, answer_store(), lambda: _compute(call))
    else:
        payload = _compute(call).payload
    accepts = call.header("accept-encoding") if settings().enable_streaming else ""
    return compressed_response(payload, accepts=accepts)


def _compute(call: Call) -> ComputedAnswer:
    limit, name = settings().batch_max_size, uuid.uuid4().hex
    sent = call.read(Measurements, measurements_limit(limit))
    request = read_request(
        sent, name=name, now=microseconds(now()), limit=limit, profiles=request_profiles()
    )
    answer = answer_request(request, cached_states(), pace(call.context))
    _observe(answer, len(sent.measurements))
    publish_frequent_users()

    def link_results(results: bytes) -> str:
        key = f"{ANSWERS}{name}.jsonl"
        work_bucket().put(key, results)
        return sign_get(key, LINK_SECONDS)

    payload = encode_answer(answer, link_results if settings().enable_streaming else None)
    return ComputedAnswer(payload, final=not answer.totals.failed_users)


def _observe(answer: Answer, measurements: int) -> None:
    """Publish the metrics of an answer."""
    totals = answer.totals
    failed = answer.summary["readings"]["failed"]
    counts = {
        "Measurements": measurements,
        "Users": totals.users,
        "FailedReadings": sum(failed.values()),
        "TimedOut": int("timed_out" in failed),
        "DatabaseRequests": totals.database.requests,
        "Throttles": totals.database.throttles,
        "Conflicts": totals.conflicts,
    }
    recent = recent_states()
    if recent is not None:
        use = recent.take_use()
        counts |= {
            "CacheHits": use.hits,
            "CacheMisses": use.misses,
            "CacheEvictions": use.evictions + use.expired,
            "CacheSize": len(recent),
        }
    for name, number in counts.items():
        metrics.add_metric(name, MetricUnit.Count, number)
