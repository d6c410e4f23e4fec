"""Settings: the name, type, bounds and default of each. Environment variables set them."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from kalmap.errors import InvalidSetting
from kalmap.store.backoff import RetryPolicy


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP API's settings. The environment variable of a setting is its name in capitals."""

    batch_max_size: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Most measurements of one request."""
    batch_parallelism: Annotated[int, Meta(ge=1, le=100)] = 10
    """Requests to the table in flight at a time."""
    batch_timeout_seconds: Annotated[float, Meta(ge=0.1, le=900)] = 30.0
    """Time after which a request is answered. Unfinished users are then `failed`."""
    batch_memory_limit_mb: Annotated[int, Meta(ge=64, le=10_240)] = 512
    """Resident memory above which a container frees its cache. If that is not enough, the container
    restarts."""
    cache_batch_size: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """States per request to a shared cache."""
    cache_warmup_size: Annotated[int, Meta(ge=0, le=10_000)] = 20
    """Most frequent users whose states a new container loads before its first answer."""
    cache_size: Annotated[int, Meta(ge=1, le=1_000_000)] = 5000
    """States that a container caches."""
    cache_seconds: Annotated[float, Meta(ge=0.001, le=86_400)] = 900.0
    """Seconds without use after which a cached state is removed."""
    cache_url: str = ""
    """`redis://` or `rediss://` address of a cache that containers share. Empty: no such cache."""
    cache_secret: str = ""
    """ARN of a secret that holds such an address, for an address with a password."""
    db_batch_get_size: Annotated[int, Meta(ge=1, le=100)] = 100
    """Keys of one read request."""
    db_batch_write_size: Annotated[int, Meta(ge=1, le=25)] = 25
    """States of one write request."""
    enable_batch_cache: bool = True
    """Whether states are cached between requests."""
    enable_streaming: bool = True
    """Whether answers are compressed for clients that accept it, and long ones have a link."""


class RetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch's steps retry requests to the table. Variables are these names in capitals."""

    retry_base_seconds: Annotated[float, Meta(ge=0.001, le=60)] = 0.05
    """Upper end of the first pause. It doubles with each try."""
    retry_cap_seconds: Annotated[float, Meta(ge=0.001, le=300)] = 10.0
    """Upper end of every pause."""
    retry_attempts: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    """Tries in a row without progress. A batch can wait. The Lambda's time usually ends first."""
    retry_jitter: bool = True
    """Draw each pause between 0 and its upper end."""


_SWITCHES = {"true": True, "false": False, "1": True, "0": False}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the HTTP API's settings from the environment. Unset ones have their defaults.

    Raises:
        InvalidSetting: A value is not allowed. The message names the variable and what is allowed.
    """
    return Settings(**_values(Settings(), environment))


def read_retry(environment: Mapping[str, str]) -> RetryPolicy:
    """Read the retry policy of a batch's steps from the environment.

    Raises:
        InvalidSetting: A value is not allowed. The message names the variable and what is allowed.
    """
    settings = RetrySettings(**_values(RetrySettings(), environment))
    if settings.retry_base_seconds > settings.retry_cap_seconds:
        raise InvalidSetting(
            f"The setting RETRY_BASE_SECONDS is {settings.retry_base_seconds:g}. It must be at "
            f"most RETRY_CAP_SECONDS, {settings.retry_cap_seconds:g}."
        )
    return RetryPolicy(
        base=settings.retry_base_seconds,
        cap=settings.retry_cap_seconds,
        attempts=settings.retry_attempts,
        jitter=settings.retry_jitter,
    )


def bounds(settings: type[msgspec.Struct], name: str) -> tuple[float, float]:
    """The least and the greatest allowed value of a numeric setting."""
    _, meta = get_args(get_type_hints(settings, include_extras=True)[name])
    return meta.ge, meta.le


def _values(defaults: msgspec.Struct, environment: Mapping[str, str]) -> dict[str, Any]:
    """The values of the settings that the environment sets, by name."""
    values: dict[str, Any] = {}
    for name, default in msgspec.structs.asdict(defaults).items():
        text = environment.get(name.upper(), "").strip()
        if text:
            values[name] = _value(type(defaults), name, type(default), text)
    return values


def cache_address(setting: str, text: str) -> str:
    """Check the address of a shared cache, which is a setting or in a secret that a setting names.

    Raises:
        InvalidSetting: It is not an address. The message does not quote it, since it may contain a
            password.
    """
    if text.startswith(("redis://", "rediss://")):
        return text
    raise InvalidSetting(
        f"The setting {setting} must give a redis:// or rediss:// address, or be empty."
    )


def _value(settings: type[msgspec.Struct], name: str, kind: type, text: str) -> bool | float | str:
    if kind is str:
        return text if name == "cache_secret" else cache_address(name.upper(), text)
    if kind is bool:
        if text.lower() in _SWITCHES:
            return _SWITCHES[text.lower()]
        raise InvalidSetting(f"The setting {name.upper()} is {text!r}. It must be true or false.")
    low, high = bounds(settings, name)
    try:
        number = float(text)
        if low <= number <= high and (kind is float or number == int(number)):
            return int(number) if kind is int else number
    except ValueError:
        pass
    expected = "a whole number" if kind is int else "a number"
    raise InvalidSetting(
        f"The setting {name.upper()} is {text!r}. It must be {expected} from {low:,g} to {high:,g}."
    )
