"""A batch's options: from options of the command line to fields of the execution's input."""

import argparse
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from kalmap.batch.identity import Limits, WriteMode
from kalmap.errors import InvalidInput
from kalmap.moments import iso
from kalmap.records.share import Share, check_share
from kalmap_cli.errors import WrongUsage
from kalmap_cli.input_files import read_profile

_LIMITS = Limits.__struct_fields__
_EXAMPLE_TIME = "2026-03-01T07:12:00Z"


def batch_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The execution's input without its source, from the arguments of `kalmap run`.

    Options that the user omits are omitted here too, except the profile. The cloud has the
    defaults.

    Raises:
        WrongUsage: A value is not allowed. The sentence names the option.
    """
    options: dict[str, Any] = {"profile": read_profile(arguments.profile)}
    if arguments.write_mode is not None:
        options["write_mode"] = _write_mode(arguments.write_mode)
    if arguments.limits is not None:
        options["limits"] = _limits(arguments.limits)
    if arguments.adopt_profile:
        options["adopt_profile"] = True
    if arguments.share is not None:
        options["share"] = _share_of_users(arguments.share)
    return options | now_option(arguments)


def now_option(arguments: argparse.Namespace) -> dict[str, Any]:
    """The field `now` if the user has set it; else nothing.

    Raises:
        WrongUsage: It is not a time, or has no offset from UTC.
    """
    text = arguments.now
    if text is None:
        return {}
    try:
        moment = msgspec.convert(text, datetime)
        if moment.tzinfo is None:
            raise WrongUsage(
                f"--now is {text!r}, which has no offset from UTC. Write for example "
                f"{_EXAMPLE_TIME}."
            )
        return {"now": iso(moment.astimezone(UTC))}
    except (msgspec.ValidationError, OverflowError) as error:
        raise WrongUsage(
            f"--now is {text!r}, which is not a time in ISO 8601. Write for example "
            f"{_EXAMPLE_TIME}."
        ) from error


def _write_mode(text: str) -> str:
    modes = get_args(WriteMode)
    if text not in modes:
        raise WrongUsage(f"--write-mode is {text!r}; it must be one of {', '.join(modes)}.")
    return text


def _limits(text: str) -> dict[str, float]:
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (side.strip() for side in part.partition("="))
        if name not in _LIMITS:
            raise WrongUsage(
                f"--limits has {part.strip()!r}; its limits are {' and '.join(_LIMITS)}, "
                f"written for example {_LIMITS[0]}=0.1,{_LIMITS[1]}=0.5."
            )
        if name in limits:
            raise WrongUsage(f"--limits has {name} twice. Give it once.")
        limits[name] = _share(name, share)
    return limits


def _share_of_users(text: str) -> dict[str, Any]:
    bounds, _, salt = text.partition(":")
    try:
        start, end = (float(bound) for bound in bounds.split("-"))
        share = Share(start, end, salt)
        check_share(share)
    except (ValueError, InvalidInput) as error:
        raise WrongUsage(
            f"--share is {text!r}; it must be a part of 0 to 100, such as 0-10 and, for all other "
            "users, 10-100."
        ) from error
    return dict(msgspec.to_builtins(share))


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise WrongUsage(
            f"--limits has {name}={text}; a limit is a share and must be a number from 0 to 1."
        )
    return share
