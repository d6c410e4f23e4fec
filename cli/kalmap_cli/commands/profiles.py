"""`kalmap profiles`: list, explain, check and make profiles."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kalmap import units
from kalmap.errors import InvalidProfile
from kalmap.profile import FORMER, Profile, builtin_profile, builtin_profiles, load_profile
from kalmap_cli.commands.tune import read_users
from kalmap_cli.errors import DONE, WrongUsage
from kalmap_cli.input_files import as_profile, read_profile, understand_files
from kalmap_cli.inputs import open_inputs, refuse_s3
from kalmap_cli.output_files import check_outputs, is_stream, open_output
from kalmap_cli.own_files.said import read_said
from kalmap_cli.own_files.several import describe_files
from kalmap_cli.profile_tools import suggest
from kalmap_cli.profile_tools.convert import in_unit
from kalmap_cli.profile_tools.effects import effects_of
from kalmap_cli.profile_tools.explain import doubts, effect_sentences, field_values, summary
from kalmap_cli.profile_tools.new import (
    ENOUGH,
    Wanted,
    ask_number,
    ask_text,
    bootstrap,
    built_in_for,
    from_answers,
    from_readings,
    wanted,
)
from kalmap_cli.profile_tools.schema import schema_text
from kalmap_cli.terminal import fit_to_terminal

_INDENT = 6
_EXAMPLE = 'kalmap profiles new --unit kg --quantity "body weight" --from readings.csv --out w.json'


def list_profiles(files: Sequence[str]) -> int:
    """List the built-in profiles, and those of files."""
    rows = [(name, builtin_profile(name)) for name in builtin_profiles()]
    rows += [(file, as_profile(read_profile(file))) for file in files]
    width = max(len(name) for name, _ in rows) + 2
    for name, profile in rows:
        _print(f"{name:{width}}{units.shown(profile.unit):8}{summary(profile)}", width + 8)
    return DONE


def show_profile(name_or_file: str) -> int:
    """Explain every field of a profile."""
    profile = as_profile(read_profile(name_or_file))
    _print(f"{profile.name}, in {units.shown(profile.unit)}")
    _print(profile.description or "It has no description.")
    for field, value in field_values(profile):
        print()
        _print(f"{field.path}  {value}")
        _print(" " * _INDENT + field.effect, _INDENT)
    return DONE


def check_profile(name_or_file: str) -> int:
    """Validate a profile, and say what it would do."""
    content = read_profile(name_or_file)
    profile = as_profile(content)
    _print(f"{name_or_file} is a profile: {profile.name}, in {units.shown(profile.unit)}.")
    for sentence in effect_sentences(profile, effects_of(profile)):
        _print(sentence)
    notes = doubts(profile)
    if not isinstance(content, str):
        notes += _unused(Path(name_or_file))
    for note in notes:
        _print(f"Note: {note}")
    return DONE


def _unused(file: Path) -> list[str]:
    """Fields that are read and not used."""
    content = msgspec.json.decode(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    found = [name for name in FORMER if name in content]
    if not found:
        return []
    names = ", ".join(found)
    return [f"{names}: of a profile for kalmap 0.1; not used. Fields beside it are."]


def write_schema(out: Path, *, replace: bool) -> int:
    """Write the JSON schema of profiles."""
    check_outputs({"--out": out}, replace=replace)
    with open_output(out) as file:
        file.write(schema_text())
    return DONE


def new_profile(arguments: argparse.Namespace) -> int:
    """Make a profile.

    Raises:
        WrongUsage: Something is not given, and there is no terminal to ask on.
    """
    asked = _asked(arguments)
    files: list[str] = arguments.files or []
    check_outputs({"--out": arguments.out}, replace=arguments.replace)
    if units.is_own(asked.unit):
        shown = units.shown(asked.unit)
        _say(
            f"{shown} is not a unit that kalmap knows. It stands in braces in the profile, and "
            f"readings may be in {shown} only."
        )
    profile, how = _made(asked, files, arguments)
    text = msgspec.to_builtins(profile) | {
        "name": asked.name, "description": f"{asked.quantity}. {how}",
    }  # fmt: skip
    # What is written must be what a batch accepts.
    made = load_profile(text)
    with open_output(arguments.out) as out:
        out.write(msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n")
    if not is_stream(arguments.out):
        file = shlex.quote(str(arguments.out))
        _say(
            f"The profile {made.name} is in {arguments.out}. `kalmap profiles check {file}` says "
            f"what it does; `kalmap check FILE --profile {file}` tries it on readings."
        )
    return DONE


def _asked(arguments: argparse.Namespace) -> Wanted:
    missing = [name for name in ("quantity", "unit") if not getattr(arguments, name)]
    if missing and not _can_ask():
        names = " and ".join(f"--{name}" for name in missing)
        raise WrongUsage(f"A new profile needs {names}. Write for example: {_EXAMPLE}")
    quantity = arguments.quantity or ask_text("What is measured, such as body weight?")
    unit = arguments.unit or ask_text("In which unit, such as kg?")
    try:
        return wanted(quantity, unit)
    except InvalidProfile as error:
        raise WrongUsage(str(error)) from error


def _made(
    asked: Wanted, files: Sequence[str], arguments: argparse.Namespace
) -> tuple[Profile, str]:
    """The profile, and where it is from in words."""
    if files:
        return _from_files(asked, files, arguments)
    if name := built_in_for(asked):
        shown = units.shown(asked.unit)
        _say(f"The numbers are those of the built-in profile {name}, in {shown}.")
        return in_unit(builtin_profile(name), asked.unit), f"As the built-in {name}, in {shown}."
    if not _can_ask():
        alike = [] if units.is_own(asked.unit) else suggest.fitting(asked.unit)
        hint = f" Built-in profiles in such a unit: {suggest.listed(alike)}." if alike else ""
        raise WrongUsage(
            f"kalmap knows no profile for {asked.quantity!r} in {units.shown(asked.unit)}. Give "
            f"readings, which numbers are taken from: --from FILE. Or type the command on a "
            f"terminal, where it asks.{hint}"
        )
    return from_answers(asked, ask_number), "From answers, and not tried on readings."


def _from_files(
    asked: Wanted, files: Sequence[str], arguments: argparse.Namespace
) -> tuple[Profile, str]:
    base = bootstrap(asked)
    content = msgspec.to_builtins(base)
    # The unit that is asked for is the profile's; readings may say another of its kind.
    arguments.unit, arguments.profile = None, None
    out = [] if is_stream(arguments.out) else ["--out", str(arguments.out)]
    words = ["--quantity", asked.quantity, "--unit", asked.unit, *out, "--from"]
    said = read_said(f"profiles new {shlex.join(words)}", arguments)
    refuse_s3(files, "profiles new")
    with open_inputs(files) as inputs:
        understood = understand_files(inputs.files, said, content)
        names = [each.name for each in inputs.files]
        check_outputs({"--out": arguments.out}, names, replace=arguments.replace)
        for sentence in (*inputs.told, *describe_files(understood)):
            _say(sentence)
        formats = (each.format for each in understood)
        users = read_users(base, dict(zip(inputs.files, formats, strict=True)), ENOUGH)
    profile, told = from_readings(asked, users, lambda text: _say(f"  {text}"))
    for sentence in told:
        _say(sentence)
    count = f"{users.value.size:,} readings of {users.counts.size:,} users"
    return profile, f"Fitted to {count}."


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _say(text: str) -> None:
    print(fit_to_terminal(text, sys.stderr), file=sys.stderr)


def _print(text: str, indent: int = 0) -> None:
    print(fit_to_terminal(text, sys.stdout, indent))
