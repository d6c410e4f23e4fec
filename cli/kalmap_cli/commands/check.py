"""`kalmap check`: say from samples how files would be understood. Nothing is started or written."""

import argparse
import sys
from datetime import UTC, datetime

import msgspec
import numpy as np

from kalmap import units
from kalmap.moments import microseconds, parse_moment
from kalmap.plural import counted
from kalmap.profile import Profile
from kalmap_cli.batch_options import now_option
from kalmap_cli.errors import DONE, FAILED
from kalmap_cli.input_files import as_profile, read_profile, understand_files
from kalmap_cli.inputs import open_inputs, refuse_s3
from kalmap_cli.own_files.said import read_said
from kalmap_cli.own_files.several import common_mapping, describe_files
from kalmap_cli.own_files.trial import Trial, try_files
from kalmap_cli.profile_tools.explain import unit_sentence
from kalmap_cli.terminal import fit_to_terminal

_LABEL = 12


def check(arguments: argparse.Namespace) -> int:
    """Say how files would be understood, and what a profile would reject.

    Returns:
        0 if `kalmap run` would take the files.

    Raises:
        WrongUsage: It would refuse them.
    """
    name_or_content = read_profile(arguments.profile)
    profile = as_profile(name_or_content)
    said = read_said("check", arguments)
    now_text = now_option(arguments).get("now")
    now = parse_moment(now_text) if now_text else datetime.now(UTC)
    refuse_s3(arguments.files, "check")
    with open_inputs(arguments.files) as inputs:
        understood = understand_files(inputs.files, said, name_or_content)
        for sentence in (*inputs.told, *describe_files(understood, own=True)):
            _print(sentence)
        mapping = common_mapping(understood, said)
        if mapping is not None:
            _row("mapping", msgspec.json.encode(mapping, order="sorted").decode())
        trial = try_files(understood, profile, microseconds(now))
    _print_trial(trial, profile)
    if trial.refusal:
        print(fit_to_terminal(f"kalmap: {trial.refusal}", sys.stderr), file=sys.stderr)
        return FAILED
    return DONE


def _print_trial(trial: Trial, profile: Profile) -> None:
    part = "" if trial.whole else f"a sample of {counted(trial.records, 'record')} of about "
    _row("records", f"{part}{trial.estimated_records:,}")
    for number, row in enumerate(trial.first_rows):
        _row("first rows" if number == 0 else "", row)
    if trial.users:
        _row("users", f"{trial.users:,}{'' if trial.whole else ' in the sample'}")
        _row("span", " to ".join(trial.span))
        counts = (f"{unit or 'none'} {count:,}" for unit, count in trial.units.items())
        _row("units", ", ".join(counts))
        low, median, high = np.quantile(trial.values, (0.0, 0.5, 1.0)).tolist()
        _row("values", f"{low:g} to {high:g} {units.shown(profile.unit)}, median {median:g}")
    share = trial.unreadable / max(1, trial.records)
    _row("unreadable", f"{trial.unreadable:,} ({share:.1%})")
    for sentence in trial.examples:
        _row("", sentence)
    rejected = ", ".join(f"{reason} {count:,}" for reason, count in trial.rejected.items())
    _row("rejected", f"{sum(trial.rejected.values()):,} by {profile.name}  {rejected}".rstrip())
    if units.is_own(profile.unit):
        _print(unit_sentence(profile))
    for sentence in trial.advice:
        _print(sentence)


def _row(label: str, text: str) -> None:
    _print(f"{label:{_LABEL}}{text}", _LABEL)


def _print(text: str, indent: int = 0) -> None:
    print(fit_to_terminal(text, sys.stdout, indent))
