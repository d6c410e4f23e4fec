"""`kalmap tune`: noise parameters fitted to many users' readings, as a profile for `--profile`."""

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
from kalmap.records.formats import detect_format
from kalmap.records.gzipped import is_gzipped
from kalmap.records.parse import Parsed, parse
from kalmap.wording import counted
from kalmap_cli.exits import DONE, WrongUsage
from kalmap_cli.inputs import check_input, inflated_file, read_profile
from kalmap_cli.likelihood import fit, negative_log_likelihood, start_from
from kalmap_cli.outputs import check_outputs, is_special, written

#: Fewer differences between readings than this tell nothing about five parameters.
_LEAST_READINGS = 100
#: More readings than this change the third digit, and take minutes.
_MOST_READINGS = 200_000
_TUNED = re.compile(r"-tuned(?:-(\d{1,6}))?$")


def run(arguments: argparse.Namespace) -> int:
    """Fit, and write the profile.

    Raises:
        WrongUsage: A file cannot be read, or holds too little to fit anything to.
    """
    given = read_profile(arguments.profile)
    if arguments.name is not None:
        _check_name(arguments.name)
    base = builtin_profile(given) if isinstance(given, str) else load_profile(given)
    for file in arguments.files:
        check_input(file)
    profile_file = [] if isinstance(given, str) else [Path(arguments.profile)]
    check_outputs({"--out": arguments.out}, [*arguments.files, *profile_file])
    histories = read_histories(base, arguments.files)
    begun = start_from(base, histories)
    readings = _readings(histories.value.size, histories.counts.size)
    base_cost = negative_log_likelihood(base, histories)
    print(f"{readings}; surprise per reading {base_cost:.4f} with {base.name}", file=sys.stderr)
    if base_cost < negative_log_likelihood(begun, histories):
        begun = base
    best = msgspec.structs.replace(
        fit(begun, histories, _progress),
        name=arguments.name or tuned_name(base.name),
        description=f"{base.name}, with noises fitted by kalmap tune to {readings}.",
    )
    # Once more through the validation: what is written is what a batch accepts.
    text = msgspec.json.format(msgspec.json.encode(best), indent=2) + b"\n"
    load_profile(text)
    with written(arguments.out) as file:
        file.write(text)
    if not is_special(arguments.out):
        print(_what_next(arguments.out, base.name, best.name), file=sys.stderr)
    return DONE


def tuned_name(name: str) -> str:
    """The name of a profile that was fitted from the one of this name.

    States belong to a profile's name, and are not taken for those of another version of it.
    """
    tuned = _TUNED.search(name)
    ending = f"-tuned-{int(tuned[1] or 1) + 1}" if tuned else "-tuned"
    stem = name[: tuned.start()] if tuned else name
    return stem[: MAX_NAME - len(ending)] + ending


def _what_next(profile: Path, before: str, name: str) -> str:
    file = shlex.quote(str(profile))
    if name == before:
        return (
            f"The profile is in {profile}. It has the name of the one before, {name}: "
            f"`kalmap run FILE --profile {file} --adopt-profile` goes on from the states that are "
            f"stored under it."
        )
    return (
        f"The profile is in {profile}. `kalmap run FILE --profile {file}` begins states under its "
        f"name, {name}. Where an earlier profile of this name has left some, --adopt-profile goes "
        f"on from them."
    )


def _readings(count: int, users: int) -> str:
    return f"{counted(count, 'reading')} of {counted(users, 'user')}"


def _check_name(name: str) -> None:
    """Refuse a name before the work, not after it."""
    try:
        load_profile(msgspec.to_builtins(builtin_profile(DEFAULT_PROFILE)) | {"name": name})
    except InvalidProfile as error:
        raise WrongUsage(str(error)) from error


def _progress(sweep: int, cost: float) -> None:
    print(f"  sweep {sweep:2}: {cost:.4f}", file=sys.stderr)


def read_histories(profile: Profile, files: Iterable[Path]) -> Histories:
    """Readings of files, user after user in order of time, duplicates and absurd values left out.

    Raises:
        WrongUsage: Too little is left to fit anything to.
    """
    names: dict[str, int] = {}
    parts: list[tuple[np.ndarray[Any, Any], ...]] = []
    records = unread = 0
    for file in files:
        parsed = _parsed(profile, file)
        records, unread = records + parsed.records, unread + len(parsed.unread)
        number = np.array([names.setdefault(name, len(names)) for name in parsed.users], np.int64)
        codes = np.array([profile.source_code(name) for name in parsed.sources], np.uint8)
        parts.append(
            (
                number[parsed.user] if number.size else np.zeros(0, np.int64),
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
    again = np.zeros(order.size, np.bool_)
    again[1:] = (
        (user[order[1:]] == user[order[:-1]])
        & (time[order[1:]] == time[order[:-1]])
        & (digest[order[1:]] == digest[order[:-1]])
    )
    order = order[~again]
    _, owner = np.unique(user[order], return_inverse=True)
    order = order[_some_users(owner)]
    _, counts = np.unique(user[order], return_counts=True)
    if order.size - counts.size < _LEAST_READINGS:
        raise WrongUsage(
            f"Of {counted(records, 'record')}, {records - unread - inside.size:,} lie outside the "
            f"range of profile {profile.name} ({low:g} to {high:g} {profile.unit}) and {unread:,} "
            f"cannot be read. That leaves {_readings(order.size, counts.size)}, too few to fit "
            f"noises to: at least {_LEAST_READINGS} are needed beyond each user's first. Give more "
            "files, or a --profile with another range."
        )
    gap = np.diff(time[order], prepend=time[order[:1]]) / MICROSECONDS_PER_DAY
    gap[np.cumsum(counts) - counts] = 0.0
    return Histories(counts, gap, value[order], source[order])


def _some_users(owner: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Readings of as many users, drawn always alike, as make enough readings."""
    if owner.size <= _MOST_READINGS:
        return np.arange(owner.size)
    counts = np.bincount(owner)
    drawn = np.random.default_rng(0).permutation(counts.size)
    taken = drawn[np.cumsum(counts[drawn]) <= _MOST_READINGS]
    return np.flatnonzero(np.isin(owner, taken))


def _parsed(profile: Profile, file: Path) -> Parsed:
    data = file.read_bytes()
    if is_gzipped(data):
        data = b"".join(inflated_file(file))
    format_ = detect_format(str(file), data[:65536])
    return parse([data[format_.body_start :]], format_, profile)
