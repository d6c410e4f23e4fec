"""POST /measurements: answered at once."""

import base64
import gzip
import hashlib
import os
import uuid
from functools import cache, lru_cache
from typing import Any

import msgspec
from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayRouter
from aws_lambda_powertools.metrics import MetricUnit

from handlers.clients import work_bucket
from handlers.http.container import frequent, recent, settings, states, time_for, workers
from handlers.http.gateway import Call, packed, presigned
from handlers.telemetry import metrics, now
from kalmap.api.online import Answer, Pace, Request, answer
from kalmap.api.wire import Measurements, Room, lines_of, read_body
from kalmap.errors import Contradiction, InvalidInput, TooLarge
from kalmap.moments import microseconds
from kalmap.profile import Profile, builtin_profile, load_profile
from kalmap.records.format_jsonl import Jsonl
from kalmap.records.parse import parse
from kalmap.store.profiles import Profiles

router = APIGatewayRouter()  # type: ignore[no-untyped-call]

#: Result lines longer than this are given by link, if ENABLE_STREAMING.
_LINK_FROM = 1_000_000
_LINK_SECONDS = 3600
_KEY_BYTES = 128
_IDEMPOTENT_SECONDS = 24 * 3600


class _Unfinished(Exception):
    """Carries an answer with failed readings past the record of answered requests."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


@router.post("/measurements")
def post_measurements() -> Response[Any]:
    """Fold measurements into their users' states."""
    call = Call(router.current_event, router.lambda_context)
    key = call.header("idempotency-key")
    body = _once(call, key) if call.carries("idempotency-key") else _answered(call)[0]
    accepts = call.header("accept-encoding") if settings().enable_streaming else ""
    return packed(body, accepts=accepts)


def _answered(call: Call) -> tuple[bytes, bool]:
    """The answer's body, and whether every reading was settled."""
    given = settings()
    asked = read_body(
        call.body,
        Measurements,
        content_type=call.header("content-type"),
        encoding=call.header("content-encoding"),
        room=Room.of_measurements(given.batch_max_size),
    )
    count = len(asked.measurements)
    if count > given.batch_max_size:
        raise TooLarge(
            f"The request has {count:,} measurements; at most {given.batch_max_size:,} are "
            "answered at once. Send them as a batch: POST /batches, or POST /batches/uploads."
        )
    profile = _profile(asked.profile)
    pace = Pace(
        group=given.db_batch_get_size,
        workers=workers(),
        seconds=time_for(call.context),
    )
    request = Request(
        name=uuid.uuid4().hex,
        measurements=parse([lines_of(asked.measurements)], Jsonl(), profile),
        profile=profile,
        adopt_profile=asked.adopt_profile,
        now=microseconds(now()),
    )
    told = answer(request, states(), pace)
    _count(told, count)
    frequent().tell()
    return _body(told, request.name), not told.totals.failed_users


def _profile(given: str | dict[str, Any]) -> Profile:
    if isinstance(given, str):
        return builtin_profile(given)
    return _kept_profile(msgspec.json.encode(given))


@lru_cache(maxsize=64)
def _kept_profile(data: bytes) -> Profile:
    profile = load_profile(data)
    Profiles(work_bucket()).save(profile)
    return profile


def _body(told: Answer, name: str) -> bytes:
    results, link = _array(told.results), b"null"
    if settings().enable_streaming and len(told.results) > _LINK_FROM:
        objects, key = work_bucket(), f"answers/{name}.jsonl"
        objects.put(key, told.results)
        results, link = b"null", msgspec.json.encode(presigned(key, _LINK_SECONDS))
    unreadable = _array(told.unreadable)
    return (
        b'{"results":%b,"results_url":%b,"unreadable":%b,"rejected":%b,"revisions":%b,"summary":%b}'
        % (
            results,
            link,
            unreadable,
            unreadable,
            _array(told.revisions),
            msgspec.json.encode(told.summary),
        )
    )


def _array(lines: bytes) -> bytes:
    """JSON lines as a JSON array."""
    return b"[" + lines.rstrip(b"\n").replace(b"\n", b",") + b"]"


def _count(told: Answer, measurements: int) -> None:
    totals = told.totals
    timed_out = totals.readings.get("failed/timed_out", 0)
    failed = sum(n for name, n in totals.readings.items() if name.startswith("failed/"))
    counts = {
        "Measurements": measurements,
        "Users": totals.users,
        "FailedReadings": failed,
        "TimedOut": int(timed_out > 0),
        "DatabaseRequests": totals.database.requests,
        "Throttles": totals.database.throttles,
        "Conflicts": totals.conflicts,
    }
    kept = recent()
    if kept is not None:
        use = kept.take_use()
        counts |= {
            "CacheHits": use.hits,
            "CacheMisses": use.misses,
            "CacheEvictions": use.evictions + use.expired,
            "CacheSize": len(kept),
        }
    for name, number in counts.items():
        metrics.add_metric(name, MetricUnit.Count, number)


def _once(call: Call, key: str) -> bytes:
    """The answer to a request that carries an idempotency key: the first one's, for 24 hours."""
    if not 1 <= len(key) <= _KEY_BYTES or not key.isascii() or not key.isprintable() or " " in key:
        raise InvalidInput(
            f"The header Idempotency-Key must be 1 to {_KEY_BYTES} printable ASCII characters "
            "without spaces."
        )
    from aws_lambda_powertools.utilities.idempotency import (  # noqa: PLC0415 - 0.1 s, seldom needed
        IdempotencyConfig,
        idempotent_function,
    )
    from aws_lambda_powertools.utilities.idempotency import exceptions as said  # noqa: PLC0415

    config = IdempotencyConfig(
        event_key_jmespath="key",
        payload_validation_jmespath="body",
        hash_function="sha256",
        expires_after_seconds=_IDEMPOTENT_SECONDS,
        lambda_context=call.context,
    )

    @idempotent_function(  # type: ignore[untyped-decorator]
        data_keyword_argument="claim", persistence_store=_answers(), config=config, key_prefix="v1"
    )
    def answered(claim: dict[str, str]) -> dict[str, str]:  # noqa: ARG001 - read by the decorator
        body, settled = _answered(call)
        if not settled:
            raise _Unfinished(body)
        # An item has room for 400 KB; 500 results are 170 KB, and a fifth of that packed.
        return {"packed": base64.b64encode(gzip.compress(body, 5, mtime=0)).decode()}

    claim = {
        "key": f"{call.caller}\n{key}",
        "body": hashlib.sha256(call.body).hexdigest(),
    }
    try:
        told = answered(claim=claim)
    except _Unfinished as unfinished:
        return unfinished.body
    except said.IdempotencyValidationError as error:
        raise Contradiction(
            "The Idempotency-Key was used before with another body. Use a new key."
        ) from error
    except said.IdempotencyAlreadyInProgressError as error:
        raise Contradiction(
            "A request with this Idempotency-Key is being answered right now; send it again later."
        ) from error
    except said.IdempotencyPersistenceLayerError as error:
        cause = error.__cause__
        raise cause if isinstance(cause, Exception) else error from error
    return gzip.decompress(base64.b64decode(told["packed"]))


@cache
def _answers() -> Any:
    from aws_lambda_powertools.utilities.idempotency import (  # noqa: PLC0415
        DynamoDBPersistenceLayer,
    )

    return DynamoDBPersistenceLayer(table_name=os.environ["IDEMPOTENCY_TABLE"])
