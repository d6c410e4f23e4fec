"""`kalmap tune`: fit noise parameters to many users' readings, and write them as a profile."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kalmap.errors import InvalidProfile
from kalmap.filter.model import MICROSECONDS_PER_DAY
from kalmap.filter.packed import Histories
from kalmap.profile import DEFAULT_PROFILE, MAX_NAME, Profile, builtin_profile, load_profile
from kalmap.records.formats import HEAD_BYTES, detect_format
from kalmap.records.gzipped import is_gzipped
from kalmap.records.parse import Parsed, parse
from kalmap.wording import counted
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.input_files import check_input, inflate_file, read_profile
from kalmap_cli.likelihood import fit_noises, negative_log_likelihood, scale_noises
from kalmap_cli.output_files import check_outputs, is_stream, open_output

#: Fewer differences between readings are not enough to fit five parameters.
_MIN_READINGS = 100
#: More readings change only the third digit, and take minutes.
_MAX_READINGS = 200_000
_TUNED = re.compile(r"-tuned(?:-(\d{1,6}))?$")


def tune(arguments: argparse.Namespace) -> int:
    """Fit a profile, and write it.

    Raises:
        WrongUsage: A file cannot be read, or there are too few readings.
    """
    profile = read_profile(arguments.profile)
    if arguments.name is not None:
        _check_name(arguments.name)
    base = builtin_profile(profile) if isinstance(profile, str) else load_profile(profile)
    for file in arguments.files:
        check_input(file)
    profile_file = [] if isinstance(profile, str) else [Path(arguments.profile)]
    check_outputs({"--out": arguments.out}, [*arguments.files, *profile_file])
    histories = read_histories(base, arguments.files)
    readings = _describe_readings(histories.value.size, histories.counts.size)
    base_cost = negative_log_likelihood(base, histories)
    print(
        f"{readings}; negative log-likelihood of a reading with {base.name}: {base_cost:.4f}",
        file=sys.stderr,
    )
    start = scale_noises(base, histories)
    if base_cost < negative_log_likelihood(start, histories):
        start = base
    best = msgspec.structs.replace(
        fit_noises(start, histories, _print_progress),
        name=arguments.name or tuned_name(base.name),
        description=f"{base.name}, with noises fitted by kalmap tune to {readings}.",
    )
    # Validate the text that is written, because a batch must accept it.
    text = msgspec.json.format(msgspec.json.encode(best), indent=2) + b"\n"
    load_profile(text)
    with open_output(arguments.out) as file:
        file.write(text)
    if not is_stream(arguments.out):
        print(_what_next(arguments.out, base.name, best.name), file=sys.stderr)
    return DONE


def tuned_name(name: str) -> str:
    """The name of a profile that is fitted from the profile of this name.

    States belong to a profile's name, so a new name keeps the states of both profiles apart.
    """
    tuned = _TUNED.search(name)
    ending = f"-tuned-{int(tuned[1] or 1) + 1}" if tuned else "-tuned"
    stem = name[: tuned.start()] if tuned else name
    return stem[: MAX_NAME - len(ending)] + ending


def _what_next(profile: Path, before: str, name: str) -> str:
    file = shlex.quote(str(profile))
    if name == before:
        return (
            f"The profile is in {profile}. It has the same name as the earlier profile, {name}. "
            f"`kalmap run FILE --profile {file} --adopt-profile` continues from the states that "
            f"are stored under this name."
        )
    return (
        f"The profile is in {profile}. `kalmap run FILE --profile {file}` stores states under its "
        f"name, {name}. If an earlier profile of this name has stored states, --adopt-profile "
        f"continues from them."
    )


def _describe_readings(count: int, users: int) -> str:
    return f"{counted(count, 'reading')} of {counted(users, 'user')}"


def _check_name(name: str) -> None:
    """Refuse an invalid name before the work starts."""
    try:
        load_profile(msgspec.to_builtins(builtin_profile(DEFAULT_PROFILE)) | {"name": name})
    except InvalidProfile as error:
        raise WrongUsage(str(error)) from error


def _print_progress(sweep: int, cost: float) -> None:
    print(f"  sweep {sweep:2}: {cost:.4f}", file=sys.stderr)


def read_histories(profile: Profile, files: Iterable[Path]) -> Histories:
    """Read the histories of users, without duplicates and values outside the profile's range.

    Raises:
        WrongUsage: There are too few readings.
    """
    names: dict[str, int] = {}
    parts: list[tuple[np.ndarray[Any, Any], ...]] = []
    records = unread = 0
    for file in files:
        parsed = _parsed(profile, file)
        records, unread = records + parsed.records, unread + len(parsed.unread)
        numbers = np.array([names.setdefault(name, len(names)) for name in parsed.users], np.int64)
        codes = np.array([profile.source_code(name) for name in parsed.sources], np.uint8)
        parts.append(
            (
                numbers[parsed.user] if numbers.size else np.zeros(0, np.int64),
                parsed.time,
                parsed.value,
                codes[parsed.source] if codes.size else np.zeros(0, np.uint8),
                parsed.hash,
            )
        )
    user, time, value, source, digest = (
        np.concatenate(columns) for columns in zip(*parts, strict=True)
    )
    low, high = profile.range
    inside = np.flatnonzero((value >= low) & (value <= high))
    order = inside[np.lexsort((digest[inside], time[inside], user[inside]))]
    is_duplicate = np.zeros(order.size, np.bool_)
    is_duplicate[1:] = (
        (user[order[1:]] == user[order[:-1]])
        & (time[order[1:]] == time[order[:-1]])
        & (digest[order[1:]] == digest[order[:-1]])
    )
    order = order[~is_duplicate]
    _, owner = np.unique(user[order], return_inverse=True)
    order = order[_sample_users(owner)]
    _, counts = np.unique(user[order], return_counts=True)
    if order.size - counts.size < _MIN_READINGS:
        raise WrongUsage(
            f"Of {counted(records, 'record')}, {records - unread - inside.size:,} lie outside the "
            f"range of profile {profile.name} ({low:g} to {high:g} {profile.unit}) and {unread:,} "
            f"cannot be read. That leaves {_describe_readings(order.size, counts.size)}, too few "
            f"to fit noises: at least {_MIN_READINGS} are needed, not counting each user's first. "
            f"Give more files, or a --profile with another range."
        )
    gap = np.diff(time[order], prepend=time[order[:1]]) / MICROSECONDS_PER_DAY
    gap[np.cumsum(counts) - counts] = 0.0
    return Histories(counts, gap, value[order], source[order])


def _sample_users(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Positions of all readings of a sample of users that has at most _MAX_READINGS.

    Args:
        owner: (readings,) Number of each reading's user. The same numbers give the same sample.
    """
    if owner.size <= _MAX_READINGS:
        return np.arange(owner.size)
    counts = np.bincount(owner)
    users = np.random.default_rng(0).permutation(counts.size)
    sample = users[np.cumsum(counts[users]) <= _MAX_READINGS]
    return np.flatnonzero(np.isin(owner, sample))


def _parsed(profile: Profile, file: Path) -> Parsed:
    data = file.read_bytes()
    if is_gzipped(data):
        data = b"".join(inflate_file(file))
    format_ = detect_format(str(file), data[:HEAD_BYTES])
    return parse([data[format_.body_start :]], format_, profile)
