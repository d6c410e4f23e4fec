"""Values drawn from the code's own types of input, sound ones and changed ones.

The API's published document describes what a request should be. What the code also reads, such
as events, profiles in S3 and what lies behind a field of any kind, is drawn from here.
"""

import copy
import datetime as dt
import json
import random
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from kalmap.api.schemas import Measurements, UploadRequest
from kalmap.batch.identity import BatchInput, InputObject, Pointer, ProfileObject
from kalmap.profile import Profile, builtin_profile
from kalmap.records.measurement import Measurement
from tests.support.broken_records import ODD, SOUND

MORE = [
    1e30, -1e30, 2**64, "null", "no version", "aws.s3", "body-weight", "chicks", "batches/", "in/",
    "0" * 32, "2026-03-01t07:12:00z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
    "x" * 1025, "../", "%2F", "arn:aws:s3:::bucket", [[]], [None], {"": None}, {"bucket": 1e30},
    {"bucket": "bucket", "key": "none"}, {"key": 5, "bucket": "bucket"}, "\r\nHost: x",
]  # fmt: skip
KINDS = (Measurements, UploadRequest, BatchInput, Profile, ProfileObject, Pointer, InputObject)


def odd(chance: random.Random) -> Any:
    """A value that is wrong in every field."""
    return copy.deepcopy(chance.choice((*ODD, *MORE)))


def drawn(kind: Any, chance: random.Random) -> Any:
    """A value of a type, as JSON has it."""
    origin = get_origin(kind)
    if origin is Annotated or kind is msgspec.Raw:
        return drawn(get_args(kind)[0], chance) if origin else drawn(Measurement, chance)
    if origin in {Union, types.UnionType}:
        return drawn(chance.choice(get_args(kind)), chance)
    if origin is Literal:
        return chance.choice(get_args(kind))
    if origin in {list, tuple}:
        return [drawn(get_args(kind)[0], chance) for _ in range(chance.choice((0, 1, 2, 2)))]
    if origin is dict:
        return chance.choice((dict(SOUND), a_profile(chance), drawn(ProfileObject, chance), {}))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind, include_extras=True)
        return {name: drawn(hint, chance) for name, hint in hints.items() if chance.random() < 0.7}
    simple = {
        str: ("bucket", "none", "in/", "u-17", "a.csv", SOUND["timestamp"], "body-weight"),
        int: (0, 1, 17, 2**31),
        float: (0.0, 0.2, 1.0, 81.4),
        bool: (True, False),
        dt.datetime: (SOUND["timestamp"], "2026-03-01T00:00:00Z"),
        type(None): (None,),
    }
    return chance.choice(simple[kind]) if kind in simple else odd(chance)


def a_profile(chance: random.Random) -> dict[str, Any]:
    """A profile that is mostly sound."""
    profile: dict[str, Any] = msgspec.to_builtins(builtin_profile("body-weight"))
    profile["name"] = "drawn"
    for _ in range(chance.choice((0, 0, 1, 2))):
        profile[chance.choice(list(profile))] = odd(chance)
    return profile


def an_event(chance: random.Random) -> dict[str, Any]:
    """The input that EventBridge gives a batch started by a file, a schedule or an event."""
    s3 = {"bucket": {"name": "bucket"}, "object": {"key": "in/a.csv", "version-id": "none"}}
    detail = chance.choice((s3, drawn(BatchInput, chance), odd(chance)))
    return {
        "version": "0",
        "source": chance.choice(("aws.s3", "kalmap", odd(chance))),
        "detail-type": chance.choice(("Object Created", "Batch Requested", odd(chance))),
        "detail": detail,
    }


def changed(value: Any, chance: random.Random) -> Any:
    """The value after one value in it is replaced, removed, or doubled under another name."""
    value = copy.deepcopy(value)
    container = value
    while True:
        keys: list[Any] = (
            list(container) if isinstance(container, dict) else list(range(len(container)))
        )
        if not keys:
            return value
        at = chance.choice(keys)
        if not isinstance(container[at], dict | list) or chance.random() < 0.3:
            break
        container = container[at]
    match chance.choice(("replace", "replace", "drop", "add")):
        case "replace":
            container[at] = odd(chance)
        case "drop":
            del container[at]
        case "add" if isinstance(container, dict):
            container[str(odd(chance))] = container[at]
        case "add":
            container.append(container[at])
    return value


def a_body(chance: random.Random) -> bytes:
    """A request's body in some shape that the code reads somewhere, changed a little."""
    body = (
        an_event(chance)
        if chance.random() < 0.3
        else drawn(chance.choice((*KINDS, Measurements, BatchInput, BatchInput)), chance)
    )
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        if isinstance(body, dict | list):
            body = changed(body, chance)
    return json.dumps(body).encode()
