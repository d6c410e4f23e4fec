"""Settings, from environment variables that bear their names."""

from collections.abc import Mapping
from typing import Any

import msgspec

from kalmap.errors import InvalidSetting
from kalmap.store.backoff import RetryPolicy


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator sets, each by the environment variable of its name in capitals."""

    batch_max_size: int = 500
    """Most measurements of one request."""
    batch_parallelism: int = 10
    """Requests to the table in flight at a time."""
    batch_timeout_seconds: float = 30.0
    """After this a request is answered, with the users not finished as `failed`."""
    batch_memory_limit_mb: int = 512
    """Resident memory past which a container frees its cache; it starts anew where that is not
    enough."""
    cache_batch_size: int = 100
    """States asked of, or given to, a shared cache at a time."""
    cache_warmup_size: int = 20
    """Most frequent users whose states a new container loads before its first answer."""
    cache_size: int = 5000
    """States that a container keeps."""
    cache_seconds: float = 900.0
    """Seconds without use after which a kept state is forgotten."""
    cache_url: str = ""
    """`redis://` or `rediss://` address of a cache that containers share; empty for none."""
    cache_secret: str = ""
    """ARN of a secret that holds such an address, where it has a password."""
    db_batch_get_size: int = 100
    """Keys of one read request."""
    db_batch_write_size: int = 25
    """States of one write request."""
    enable_batch_cache: bool = True
    """Whether states are kept between requests."""
    enable_streaming: bool = True
    """Whether answers are compressed for who accepts it, and large ones given by link."""


class RetrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch's steps try the table again, by variables of these names in capitals."""

    retry_base_seconds: float = 0.05
    """Upper end of the first pause; it doubles with each try."""
    retry_cap_seconds: float = 10.0
    """Upper end of every pause."""
    retry_attempts: int = 1000
    """Tries in a row without progress; a batch can wait, so a Lambda's time ends them first."""
    retry_jitter: bool = True
    """Draw each pause between nothing and its upper end."""


_BOUNDS: dict[str, tuple[float, float]] = {
    "retry_base_seconds": (0.001, 60),
    "retry_cap_seconds": (0.001, 300),
    "retry_attempts": (1, 10_000),
    "batch_max_size": (1, 10_000),
    "batch_parallelism": (1, 100),
    "batch_timeout_seconds": (0.1, 900),
    "batch_memory_limit_mb": (64, 10_240),
    "cache_batch_size": (1, 10_000),
    "cache_warmup_size": (0, 10_000),
    "cache_size": (1, 1_000_000),
    "cache_seconds": (0.001, 86_400),
    "db_batch_get_size": (1, 100),
    "db_batch_write_size": (1, 25),
}
_SWITCHES = {"true": True, "false": False, "1": True, "0": False}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The synchronous path's settings from the environment; defaults where it gives none.

    Raises:
        InvalidSetting: A sentence naming the variable, the value given and what is allowed.
    """
    return Settings(**_given(Settings(), environment))


def read_retry(environment: Mapping[str, str]) -> RetryPolicy:
    """The retry policy of a batch's steps from the environment.

    Raises:
        InvalidSetting: A sentence naming the variable, the value given and what is allowed.
    """
    given = RetrySettings(**_given(RetrySettings(), environment))
    if given.retry_base_seconds > given.retry_cap_seconds:
        raise InvalidSetting(
            f"The setting RETRY_BASE_SECONDS is {given.retry_base_seconds:g}; it must be at most "
            f"RETRY_CAP_SECONDS, {given.retry_cap_seconds:g}."
        )
    return RetryPolicy(
        base=given.retry_base_seconds,
        cap=given.retry_cap_seconds,
        attempts=given.retry_attempts,
        jitter=given.retry_jitter,
    )


def _given(defaults: msgspec.Struct, environment: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, default in msgspec.structs.asdict(defaults).items():
        text = environment.get(name.upper(), "").strip()
        if text:
            given[name] = _value(name, type(default), text)
    return given


def cache_address(setting: str, text: str) -> str:
    """The address of a shared cache, as it stands in a setting or in the secret that it names.

    Raises:
        InvalidSetting: It is none. The sentence does not quote it, since it may hold a password.
    """
    if text.startswith(("redis://", "rediss://")):
        return text
    raise InvalidSetting(
        f"The setting {setting} must give a redis:// or rediss:// address, or be empty."
    )


def _value(name: str, kind: type, text: str) -> bool | float | str:
    if kind is str:
        return text if name == "cache_secret" else cache_address(name.upper(), text)
    if kind is bool:
        if text.lower() in _SWITCHES:
            return _SWITCHES[text.lower()]
        raise InvalidSetting(f"The setting {name.upper()} is {text!r}; it must be true or false.")
    low, high = _BOUNDS[name]
    try:
        number = float(text)
        if low <= number <= high and (kind is float or number == int(number)):
            return int(number) if kind is int else number
    except ValueError:
        pass
    what = "a whole number" if kind is int else "a number"
    raise InvalidSetting(
        f"The setting {name.upper()} is {text!r}; it must be {what} from {low:,g} to {high:,g}."
    )
