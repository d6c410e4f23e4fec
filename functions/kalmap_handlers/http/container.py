"""What one container of the HTTP API makes once and keeps: settings, stores, caches.

An adapter: it builds the library's objects from the environment, and divides the container's time
and connections among them.
"""

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from kalmap.api.answer_request import Pace
from kalmap.api.cache import Cache, Layers, RecentStates, SharedStates
from kalmap.api.cached_states import CachedStates
from kalmap.api.frequent_users import publish_frequent, warm_up
from kalmap.api.measurements import RequestProfiles
from kalmap.api.memory import MemoryCheck, check_memory
from kalmap.errors import KalmapError
from kalmap.store.backoff import RetryPolicy
from kalmap.store.breaker import CircuitBreaker
from kalmap.store.dynamodb.states import DynamoDBStateStore
from kalmap.store.dynamodb.table import client_config
from kalmap.store.profiles import Profiles
from kalmap_handlers.clients import work_bucket
from kalmap_handlers.deadline import seconds_for_work
from kalmap_handlers.memory import release_memory, resident_mb
from kalmap_handlers.settings import Settings, cache_address, read_settings
from kalmap_handlers.telemetry import logger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

#: A caller waits for the answer. After a few tries, they should send the request again.
_RETRY = RetryPolicy(base=0.03, cap=0.5, attempts=8)
_DATABASE_SECONDS = 3.0
#: Seconds of an invocation that are left for encoding and sending the answer.
_RESERVE_SECONDS = 2.0
_PUBLISH_SECONDS = 300.0
_WARMUP_SECONDS = 2.0


@cache
def settings() -> Settings:
    """The container's settings, checked."""
    return read_settings(os.environ)


@cache
def dynamodb() -> Any:
    """A client that leaves retries to the store."""
    config = client_config(parallelism=settings().batch_parallelism, timeout=_DATABASE_SECONDS)
    return boto3.client("dynamodb", config=config)


@cache
def breaker() -> CircuitBreaker:
    """The circuit breaker around the table of states."""
    return CircuitBreaker()


@cache
def recent_states() -> RecentStates | None:
    """The states that this container caches; None if it caches none."""
    seconds = settings().cache_seconds
    if not settings().enable_batch_cache:
        return None
    # A lost write costs five times the read that a cached state saves, so it may happen only once.
    return RecentStates(settings().cache_size, seconds, shun=seconds)


@cache
def cached_states() -> CachedStates:
    """Access to the stored states. The cache has those of the most frequent users already."""
    store = DynamoDBStateStore(
        dynamodb(),
        os.environ["STATES_TABLE"],
        retry=_RETRY,
        get_size=settings().db_batch_get_size,
        write_size=settings().db_batch_write_size,
        parallelism=_requests_per_group(),
    )
    states = CachedStates(store, breaker(), _cache())
    _warm_up(states)
    return states


@cache
def request_profiles() -> RequestProfiles:
    """The profiles of requests that this container has checked and stored."""
    return RequestProfiles(Profiles(work_bucket()))


def pace(context: "LambdaContext") -> Pace:
    """How many users of a request are processed at a time, and how long it may take.

    All groups together have at most BATCH_PARALLELISM requests to the table in flight.
    """
    return Pace(
        group=settings().db_batch_get_size,
        workers=max(1, settings().batch_parallelism // _requests_per_group()),
        seconds=seconds_for_request(context),
    )


def seconds_for_request(context: "LambdaContext") -> float:
    """Seconds that a request may take before its answer is encoded."""
    return min(settings().batch_timeout_seconds, seconds_for_work(context, _RESERVE_SECONDS))


def _requests_per_group() -> int:
    """Requests to the table in flight for one group of users."""
    return 1 if settings().batch_parallelism == 1 else 2


def _cache() -> Cache | None:
    recent = recent_states()
    address = settings().cache_url or _secret_address(settings().cache_secret)
    if recent is None or not address:
        return recent
    # The package is only installed where a shared cache is wanted.
    import redis  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415

    client = redis.Redis.from_url(
        address, socket_timeout=0.2, socket_connect_timeout=0.5, retry=None
    )
    shared = SharedStates(
        client, settings().cache_seconds, settings().cache_batch_size, redis.RedisError
    )
    return Layers(recent, shared)


def _secret_address(secret: str) -> str:
    """Read the shared cache's address from a secret; empty if there is none to read."""
    if not secret:
        return ""
    try:
        value = boto3.client("secretsmanager").get_secret_value(SecretId=secret)
    except (BotoCoreError, ClientError) as error:
        # Without a shared cache answers are slower, never wrong.
        logger.warning("the secret of the shared cache is not read", error=type(error).__name__)
        return ""
    return cache_address("CACHE_SECRET", value["SecretString"].strip())


def _warm_up(states: CachedStates) -> None:
    count = settings().cache_warmup_size
    if recent_states() is None or not count:
        return
    try:
        warm_up(states, work_bucket(), count, time.monotonic() + _WARMUP_SECONDS)
    except (KalmapError, msgspec.MsgspecError, BotoCoreError, ClientError) as error:
        # Warm-up is best effort: a cold container is slower, never wrong.
        logger.warning("not warmed up", error=type(error).__name__)


def publish_frequent_users() -> None:
    """Publish the most frequent users of this container for new ones, every few minutes."""
    recent, count = recent_states(), settings().cache_warmup_size
    if recent is None or not count or not _publication().is_due():
        return
    try:
        publish_frequent(recent, work_bucket(), count)
    except (BotoCoreError, ClientError) as error:
        # The states of this request are stored already, so its answer is right.
        logger.warning("frequent users not published", error=type(error).__name__)


class _Publication:
    """The time of the next publication of frequent users."""

    def __init__(self) -> None:
        self._due = time.monotonic() + _PUBLISH_SECONDS

    def is_due(self) -> bool:
        """Whether the time has come; if so, the next one is set."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + _PUBLISH_SECONDS
        return True


_publication = cache(_Publication)


def watch_memory() -> MemoryCheck:
    """Keep the container below BATCH_MEMORY_LIMIT_MB, long before the platform would end it."""
    return check_memory(resident_mb, settings().batch_memory_limit_mb, _free_memory)


def _free_memory() -> None:
    recent = recent_states()
    if recent is not None:
        recent.clear()
    release_memory()
