"""The stored states as the HTTP API reaches them, made once per container."""

import ctypes
import gc
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from handlers.clients import work_bucket
from handlers.deadline import seconds_for_work
from handlers.memory import resident_mb
from handlers.settings import Settings, cache_address, read_settings
from handlers.telemetry import logger
from kalmap.api.cache import Cache, Key, Layers, RecentStates, SharedStates
from kalmap.api.cached_states import CachedStates
from kalmap.api.memory import MemoryCheck, check_memory
from kalmap.errors import KalmapError
from kalmap.store.backoff import RetryPolicy
from kalmap.store.breaker import CircuitBreaker
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.dynamodb.table import client_config

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

#: A caller waits: give up early, so that they can try again.
_RETRY = RetryPolicy(base=0.03, cap=0.5, attempts=8)
_ANSWER_SECONDS = 3.0
#: Left of a Lambda's time for the answer itself.
_RESERVE_SECONDS = 2.0
_FREQUENT = "cache/frequent.json"
_FREQUENT_EVERY = 300.0
_WARMUP_SECONDS = 2.0


@cache
def settings() -> Settings:
    """The container's settings, checked."""
    return read_settings(os.environ)


@cache
def dynamodb() -> Any:
    """A client that leaves retries to the store."""
    config = client_config(parallelism=settings().batch_parallelism, timeout=_ANSWER_SECONDS)
    return boto3.client("dynamodb", config=config)


@cache
def breaker() -> CircuitBreaker:
    """The circuit breaker around the table of states."""
    return CircuitBreaker()


@cache
def recent() -> RecentStates | None:
    """The states this container keeps; None where it keeps none."""
    given = settings()
    if not given.enable_batch_cache:
        return None
    # A lost write costs five times the read that a kept state saves: once is enough.
    return RecentStates(given.cache_size, given.cache_seconds, shun=given.cache_seconds)


@cache
def states() -> CachedStates:
    """The stored states, warmed up with those of the most frequent users."""
    given = settings()
    store = DynamoDBStateStore(
        dynamodb(),
        os.environ["STATES_TABLE"],
        retry=_RETRY,
        get_size=given.db_batch_get_size,
        write_size=given.db_batch_write_size,
        parallelism=per_group(),
    )
    found = CachedStates(store, breaker(), _cache(given))
    _warm_up(found, given)
    return found


def time_for(context: "LambdaContext") -> float:
    """Seconds that a request may take of the table's time."""
    return min(settings().batch_timeout_seconds, seconds_for_work(context, _RESERVE_SECONDS))


def workers() -> int:
    """Groups of users worked on at a time; with their writes, BATCH_PARALLELISM requests."""
    return max(1, settings().batch_parallelism // per_group())


def per_group() -> int:
    """Requests in flight for one group of users."""
    return 1 if settings().batch_parallelism == 1 else 2


def _cache(given: Settings) -> Cache | None:
    near = recent()
    address = given.cache_url or _secret_address(given.cache_secret)
    if near is None or not address:
        return near
    # Only there where a shared cache is wanted.
    import redis  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    client = redis.Redis.from_url(
        address, socket_timeout=0.2, socket_connect_timeout=0.5, retry=None
    )
    far = SharedStates(client, given.cache_seconds, given.cache_batch_size, redis.RedisError)
    return Layers(near, far)


def _secret_address(secret: str) -> str:
    if not secret:
        return ""
    try:
        told = boto3.client("secretsmanager").get_secret_value(SecretId=secret)
    except (BotoCoreError, ClientError) as error:
        # Answers are right without a shared cache; they only take longer.
        logger.warning("the secret of the shared cache is not read", error=type(error).__name__)
        return ""
    return cache_address("CACHE_SECRET", told["SecretString"].strip())


def _warm_up(found: CachedStates, given: Settings) -> None:
    if recent() is None or not given.cache_warmup_size:
        return
    try:
        data = work_bucket().find(_FREQUENT)
        keys = msgspec.json.decode(data, type=list[Key]) if data else []
        for profile in {key.profile for key in keys}:
            users = [key.user for key in keys[: given.cache_warmup_size] if key.profile == profile]
            found.load(profile, users, time.monotonic() + _WARMUP_SECONDS)
    except (KalmapError, msgspec.MsgspecError, BotoCoreError, ClientError) as error:
        # Warm-up is best effort: a cold container is slower, never wrong.
        logger.warning("not warmed up", error=type(error).__name__)


class _Frequent:
    """Publishes the most frequent users of this container for new ones, every few minutes."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _FREQUENT_EVERY

    def tell(self) -> None:
        kept, most = recent(), settings().cache_warmup_size
        if kept is None or not most or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _FREQUENT_EVERY
        try:
            work_bucket().put(_FREQUENT, msgspec.json.encode(kept.frequent(most)))
        except (BotoCoreError, ClientError) as error:
            # The request has been answered by now, and its states are stored.
            logger.warning("frequent users not told", error=type(error).__name__)


frequent = cache(_Frequent)


def watch_memory() -> MemoryCheck:
    """Keep the container below BATCH_MEMORY_LIMIT_MB, well before the platform would end it."""
    return check_memory(resident_mb, settings().batch_memory_limit_mb, _free_memory)


def _free_memory() -> None:
    cached = recent()
    if cached is not None:
        cached.clear()
    gc.collect()
    _return_freed_memory()


def _return_freed_memory() -> None:
    """The C library keeps freed memory for later; the limit counts it."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
