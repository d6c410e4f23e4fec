"""A batch's options: fields of the execution's input on AWS, options of the command line here."""

import argparse
import re
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from kalmap.batch.identity import Limits, WriteMode
from kalmap.moments import iso
from kalmap_cli.exits import WrongUsage
from kalmap_cli.inputs import read_profile

_LIMITS = Limits.__struct_fields__
_EXAMPLE_TIME = "2026-03-01T07:12:00Z"
#: What the cloud's sentences call a field, and what a user of the command line types.
_TYPED = {
    "profile": "--profile",
    "write_mode": "--write-mode",
    "adopt_profile": "--adopt-profile",
    "now": "--now",
    "limits": "--limits",
} | {f"limits.{name}": f"--limits {name}=SHARE" for name in _LIMITS}


def batch_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The execution's input, but for its source, from the arguments of `kalmap run`.

    What the user leaves out is left out here: the cloud has the defaults.

    Raises:
        WrongUsage: A value is not allowed; the sentence names the option.
    """
    options: dict[str, Any] = {"profile": read_profile(arguments.profile)}
    if arguments.write_mode is not None:
        options["write_mode"] = _write_mode(arguments.write_mode)
    if arguments.limits is not None:
        options["limits"] = _limits(arguments.limits)
    if arguments.adopt_profile:
        options["adopt_profile"] = True
    return options | moment_options(arguments)


def moment_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The field `now`, where the user gave it.

    Raises:
        WrongUsage: It is no time, or has no offset from UTC.
    """
    given = arguments.now
    if given is None:
        return {}
    try:
        moment = msgspec.convert(given, datetime)
        if moment.tzinfo is None:
            raise WrongUsage(
                f"--now is {given!r}, which has no offset from UTC. Write for example "
                f"{_EXAMPLE_TIME}."
            )
        return {"now": iso(moment.astimezone(UTC))}
    except (msgspec.ValidationError, OverflowError) as error:
        raise WrongUsage(
            f"--now is {given!r}, which is not a time in ISO 8601. Write for example "
            f"{_EXAMPLE_TIME}."
        ) from error


def _write_mode(given: str) -> str:
    modes = get_args(WriteMode)
    if given not in modes:
        raise WrongUsage(f"--write-mode is {given!r}; it must be one of {', '.join(modes)}.")
    return given


def _limits(given: str) -> dict[str, float]:
    limits: dict[str, float] = {}
    for part in given.split(","):
        name, _, share = (text.strip() for text in part.partition("="))
        if name not in _LIMITS:
            raise WrongUsage(
                f"--limits has {part.strip()!r}; its limits are {' and '.join(_LIMITS)}, "
                f"written for example {_LIMITS[0]}=0.1,{_LIMITS[1]}=0.5."
            )
        if name in limits:
            raise WrongUsage(f"--limits has {name} twice. Give it once.")
        limits[name] = _share(name, share)
    return limits


def _share(name: str, given: str) -> float:
    try:
        share = float(given)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise WrongUsage(
            f"--limits has {name}={given}; a limit is a share and must be a number from 0 to 1."
        )
    return share


def as_typed(sentence: str) -> str:
    """A sentence of the cloud's, with options where it names fields of the input in backticks."""
    return re.sub(r"`([a-z_.]+)`", lambda name: f"`{_TYPED.get(name[1], name[1])}`", sentence)
