"""`kalmap tune`: fit a profile to many users' readings, try it on others, and write it."""

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from kalmap import units
from kalmap.errors import InvalidProfile
from kalmap.plural import counted
from kalmap.profile import DEFAULT_PROFILE, MAX_NAME, Profile, builtin_profile, load_profile
from kalmap.records.formats import AnyFormat
from kalmap.records.parse import Parsed, parse
from kalmap_cli.errors import DONE, RunFailed, WrongUsage
from kalmap_cli.input_files import as_profile, read_profile, records_of, understand_files
from kalmap_cli.inputs import Input, open_inputs, refuse_s3
from kalmap_cli.output_files import check_outputs, is_stream, open_output
from kalmap_cli.own_files.said import read_said
from kalmap_cli.own_files.several import describe_files
from kalmap_cli.tuning.cautions import about_spacing, cautions
from kalmap_cli.tuning.fit import FEW_READINGS, Fitted, fit, occasion_of
from kalmap_cli.tuning.ranges import inside
from kalmap_cli.tuning.trial import compare, table, verdict
from kalmap_cli.tuning.users import Users, typical_of

#: Fewer readings, not counting each user's first, are not enough to fit five parameters.
_MIN_READINGS = 20
#: A larger share of readings close to the one before is told.
_MANY_CLOSE = 0.02
#: Of fewer users none is held out.
_MIN_USERS = 10
#: Share of the users that a profile is fitted to before it is tried on the others.
_SHARE = 0.7
#: Readings that a profile is tried on.
_MOST_HELD_OUT = 40_000
_TUNED = re.compile(r"-tuned(?:-(\d{1,6}))?$")


def tune(arguments: argparse.Namespace) -> int:
    """Fit a profile, and write it.

    Raises:
        WrongUsage: A file cannot be read, or the readings are hopeless.
        RunFailed: The profile is worse than the given one on users held out.
    """
    profile = read_profile(arguments.profile)
    if arguments.name is not None:
        _check_name(arguments.name)
    base = as_profile(profile)
    said = read_said("tune", arguments)
    refuse_s3(arguments.files, "tune")
    with open_inputs(arguments.files) as inputs:
        understood = understand_files(inputs.files, said, profile)
        profile_file = [] if isinstance(profile, str) else [Path(arguments.profile)]
        names = [each.name for each in inputs.files]
        check_outputs({"--out": arguments.out}, [*names, *profile_file], replace=arguments.replace)
        for sentence in (*inputs.told, *describe_files(understood)):
            _say(sentence)
        formats = (each.format for each in understood)
        users = read_users(base, dict(zip(inputs.files, formats, strict=True)))
    readings = _describe_readings(users.value.size, users.counts.size)
    name = arguments.name or tuned_name(base.name)
    _say(f"{readings}.")
    users = _one_an_occasion(base, users)
    _check_readings_differ(base, users)
    fitted = _tried(base, users, name, even_if_worse=arguments.even_if_worse)
    _say("The main numbers (standard errors in brackets, from the likelihood's curvature):")
    for number in fitted.numbers:
        _say(f"  {number}")
    best = msgspec.structs.replace(
        fitted.profile,
        name=name,
        description=f"{base.name}, fitted by kalmap tune to {readings}.",
    )
    for sentence in (
        *_about(base, fitted, users),
        *cautions(best, inside(best, users.sample(_MOST_HELD_OUT))),
    ):
        _say(f"Note: {sentence}")
    # Validate the text that is written, because a batch must accept it.
    text = msgspec.json.format(msgspec.json.encode(best), indent=2) + b"\n"
    load_profile(text)
    with open_output(arguments.out) as file:
        file.write(text)
    if not is_stream(arguments.out):
        _say(_what_next(arguments.out, base.name, best.name))
    return DONE


def _tried(base: Profile, users: Users, name: str, *, even_if_worse: bool) -> Fitted:
    """Fit to some users and try the profile on the others; then fit to all if these are few.

    Raises:
        RunFailed: The profile is worse than the given one, and that was not asked for.
    """
    if users.counts.size < _MIN_USERS:
        _say(f"With fewer than {_MIN_USERS} users, none can be held out to try the profile on.")
        return fit(base, users, _print_progress)
    seen, others = users.split(_SHARE)
    fitted = fit(base, seen, _print_progress)
    tried = msgspec.structs.replace(fitted.profile, name=name)
    before = f"{base.name} (before)" if base.name == name else base.name
    given = msgspec.structs.replace(base, name=before)
    held_out = others.sample(_MOST_HELD_OUT)
    trial = compare(given, tried, seen.sample(_MOST_HELD_OUT), held_out)
    _say(
        f"Next readings of {counted(held_out.counts.size, 'user')} that the fit did not see, wild "
        "and rejected ones among them (standard errors in brackets; an error counts at most "
        f"{trial.most:.3g} {units.shown(base.unit)}):"
    )
    for line in table(trial.scores):
        _say(line)
    for sentence in verdict(trial):
        _say(sentence)
    if trial.is_worse and not even_if_worse:
        raise RunFailed(
            f"Nothing is written, because {name} is worse than {before} on users that it did not "
            f"see. Keep {before}, or type --even-if-worse to write {name} all the same."
        )
    if users.value.size > FEW_READINGS:
        return fitted
    _say("Now the same with all users:")
    return fit(base, users, _print_progress)


def _one_an_occasion(base: Profile, users: Users) -> Users:
    """The first reading of each occasion: others may be copies, or have the same error.

    Raises:
        WrongUsage: Too few are left.
    """
    days = occasion_of(base, typical_of(users))
    kept = users.one_an_occasion(days)
    left_out = 1.0 - kept.value.size / users.value.size
    if left_out == 0.0:
        return users
    if kept.value.size - kept.counts.size < _MIN_READINGS:
        raise WrongUsage(
            f"Only {_describe_readings(kept.value.size, kept.counts.size)} are left if one is "
            f"taken of those within {_duration(days)}, too few to fit a profile: at least "
            f"{_MIN_READINGS} are needed, not counting each user's first. Give more files."
        )
    if left_out > _MANY_CLOSE:
        _say(
            f"Note: {100.0 * left_out:.0f} % of the readings are within {_duration(days)} of the "
            "user's reading before. Such readings may be copies, or have the same error, so only "
            "the first of them is fitted. The filter takes each one for a new measurement: if they "
            "are copies, remove them before a run, or its intervals are too narrow."
        )
    return kept


def _check_readings_differ(base: Profile, users: Users) -> None:
    changes = np.diff(users.value, prepend=users.value[:1])[~users.begin]
    if not changes.any():
        raise WrongUsage(
            f"Each of the {counted(users.counts.size, 'user')} has the same value, in "
            f"{units.shown(base.unit)}, every time. Nothing can be fitted to readings that never "
            "differ."
        )


def _duration(days: float) -> str:
    for name, seconds in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if days * 86_400.0 >= 2.0 * seconds:
            return f"{days * 86_400.0 / seconds:.3g} {name}"
    return f"{days * 86_400.0:.3g} seconds"


def _about(base: Profile, fitted: Fitted, users: Users) -> list[str]:
    """Sentences about how the profile came about."""
    profile, typical, found = fitted.profile, fitted.typical, [fitted.looked_at]
    unit = units.shown(profile.unit)
    if typical.step > 0.0:
        found.append(
            f"Readings are rounded to {typical.step:g} {unit}. Their noise is at least "
            f"{typical.floor:.3g} {unit}."
        )
    if profile.range != base.range:
        low, high = profile.range
        found.append(
            f"The range is now {low:g} to {high:g} {unit}, from the readings; that of "
            f"{base.name} is {base.range[0]:g} to {base.range[1]:g}. What lies outside will be "
            "refused as out_of_range."
        )
    within = inside(profile, users).value.size
    if within < 0.9 * users.value.size:
        found.append(
            f"Only {within:,} of {users.value.size:,} readings are in the range, and used."
        )
    if profile.population.level_mean is None:
        found.append(
            "The users are too few to say what levels new ones have, so a user's first reading is "
            "believed as it stands."
        )
    found += about_spacing(base, profile, fitted.numbers, typical.gap)
    return [*found, *fitted.additions.described(profile)]


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print_progress(text: str) -> None:
    _say(f"  {text}")


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


def read_users(
    profile: Profile, files: Mapping[Input, AnyFormat], least: int = _MIN_READINGS
) -> Users:
    """Read users' readings from files; see `users_of`."""
    return users_of(profile, (_parsed(profile, *item) for item in files.items()), least)


def users_of(profile: Profile, parts: Iterable[Parsed], least: int = _MIN_READINGS) -> Users:
    """Put users' readings together, without duplicates.

    Args:
        profile: Has the unit and the sources.
        parts: The readings.
        least: Readings that are needed, not counting each user's first.

    Raises:
        WrongUsage: There are too few readings, or all are the same.
    """
    names: dict[str, int] = {}
    tables: list[tuple[np.ndarray[Any, Any], ...]] = []
    records = unreadable = 0
    for parsed in parts:
        records, unreadable = records + parsed.records, unreadable + len(parsed.unreadable)
        numbers = np.array([names.setdefault(name, len(names)) for name in parsed.users], np.int64)
        codes = np.array([profile.source_code(name) for name in parsed.sources], np.uint8)
        tables.append(
            (
                numbers[parsed.user] if numbers.size else np.zeros(0, np.int64),
                parsed.time,
                parsed.value,
                codes[parsed.source] if codes.size else np.zeros(0, np.uint8),
                parsed.hash,
            )
        )
    user, time, value, source, digest = (
        np.concatenate(columns) for columns in zip(*tables, strict=True)
    )
    order = np.lexsort((digest, time, user))
    is_duplicate = np.zeros(order.size, np.bool_)
    is_duplicate[1:] = (
        (user[order[1:]] == user[order[:-1]])
        & (time[order[1:]] == time[order[:-1]])
        & (digest[order[1:]] == digest[order[:-1]])
    )
    order = order[~is_duplicate]
    _, counts = np.unique(user[order], return_counts=True)
    if order.size - counts.size < least:
        raise WrongUsage(
            f"Of {counted(records, 'record')}, {unreadable:,} cannot be read. That leaves "
            f"{_describe_readings(order.size, counts.size)}, too few to fit a profile: at least "
            f"{least} are needed, not counting each user's first. Give more files."
        )
    if np.ptp(value[order]) == 0.0:
        raise WrongUsage(
            f"All {_describe_readings(order.size, counts.size)} are {value[order[0]]:g} "
            f"{units.shown(profile.unit)}. Nothing can be fitted to readings that never differ."
        )
    return Users(counts, time[order], value[order], source[order])


def _parsed(profile: Profile, file: Input, format_: AnyFormat) -> Parsed:
    return parse(records_of(file, format_), format_, profile)
