"""Questions: what a file does not tell is asked for at once, with a command that answers all."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kalmap import units
from kalmap.profile import Profile
from kalmap.records.dialects import listed
from kalmap_cli.errors import WrongUsage
from kalmap_cli.own_files.arranged_otherwise import wide_table_advice
from kalmap_cli.own_files.doubts import (
    cut_number_advice,
    refuse_mixed_dates,
    refuse_short_years,
    refuse_two_numbers,
)
from kalmap_cli.own_files.field_columns import as_typed, joined
from kalmap_cli.own_files.fields import is_called_a_time, unit_in_name, without_unit
from kalmap_cli.own_files.quantity import Mismatch
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table, time_cells
from kalmap_cli.own_files.times import (
    Times,
    column_of_offsets,
    machine_time_zone,
    understand_times,
)
from kalmap_cli.own_files.unknown_times import refuse_known_times
from kalmap_cli.own_files.users import user_candidates
from kalmap_cli.profile_tools import suggest

_LETTER = re.compile(r"[^\W\d_]")
_NOTHING: Mapping[str, str] = MappingProxyType({})


class _Answer(NamedTuple):
    """What is typed."""

    columns: Mapping[str, str] = _NOTHING
    options: Mapping[str, str] = _NOTHING


class _Question(NamedTuple):
    what: str
    """What is asked for, as an item of a list."""
    alone: str
    """The sentence before the command, if it is the only question."""
    answer: _Answer
    otherwise: str = ""
    """What stands before another answer."""
    other: _Answer = _Answer()
    after: str = ""
    """A sentence behind the commands."""


class Asked(NamedTuple):
    """What is known of a table when questions are asked."""

    sample: Sample
    table: Table
    columns: Mapping[str, Any]
    """By field, as far as they are known."""
    values: list[str]
    """Columns that the value may be in, if they are several."""
    only: dict[str, list[str]]
    """Which rows are records."""
    dates: str | None
    """How dates are written, if a preset says it."""
    profile: Profile
    mismatch: Mismatch | None
    """Why the profile is none for this file."""

    @property
    def file(self) -> Path:
        """What the user calls the file."""
        return self.sample.file


def ask(about: Asked, said: Said) -> None:
    """Ask for all that is not certain.

    Raises:
        WrongUsage: Something is not. The sentence says what was found and what to type.
    """
    if (suggest.built_in_of(about.profile.name) or "").startswith("blood-pressure"):
        refuse_two_numbers(about.file, about.table)
    questions = [*_columns(about, said)]
    if about.mismatch:
        questions.insert(0, _profile(about.mismatch))
    if "user_id" not in about.columns and said.user is None:
        questions.append(_user(about))
    if "timestamp" in about.columns:
        questions += _times(about, said)
    if not questions:
        return
    file, sure = about.file, _sure(about)
    asks_columns = any(question.answer.columns for question in questions)

    def command(answers: list[_Answer]) -> str:
        columns: dict[str, str] = dict(sure) if asks_columns else {}
        options: dict[str, str] = {}
        for answer in answers:
            columns |= answer.columns
            options |= answer.options
        return said.again(file, columns, (), **options)

    if len(questions) == 1:
        [one] = questions
        simple = set(one.answer.options) & {"tz", "dates", "profile"}
        head = f"{file}:" if simple else _described(about)
        other = f" - {one.otherwise} {command([one.other])}" if one.otherwise else ""
        raise WrongUsage(f"{head} {one.alone} {command([one.answer])}{other}{one.after}")
    items = "".join(f"\n({n}) {each.what}" for n, each in enumerate(questions, start=1))
    taken = " and ".join(f"the {field} from {names}" for field, names in sure.items())
    raise WrongUsage(
        f"{_described(about)} {f'kalmap takes {taken}. ' if taken else ''}It does not tell "
        f"{len(questions)} things.{items}\nAll of them are answered by, for example: "
        f"{command([each.answer for each in questions])}"
    )


def _described(about: Asked) -> str:
    table = about.table
    if table.header:
        return (
            f"{about.file} is {table.form}, with the columns {listed(table.columns)}."
            f"{table.told_unread}"
        )
    cells = ", ".join(str(cell) for cell in table.rows[0])
    return (
        f"{about.file} is {table.form}. Its columns are numbered from 1; the first row is {cells}."
    )


def _sure(about: Asked) -> dict[str, str]:
    """The columns of time and value, as far as they are certain, as they are typed."""
    return {
        field: as_typed(names)
        for field, names in about.columns.items()
        if field in {"timestamp", "value"} and not (field == "value" and about.values)
    }


def _profile(mismatch: Mismatch) -> _Question:
    text = mismatch.sentence
    answer = _Answer(options={"profile": next(iter(mismatch.profiles), "FILE")})
    return _Question(
        f"The profile: {text} {mismatch.advice}",
        f"{text} {mismatch.advice} For example:",
        answer,
        "or, if its values are in " + (mismatch.unit or "") + ":" if mismatch.unit else "",
        _Answer(options={"unit": mismatch.unit or ""}),
    )


def _columns(about: Asked, said: Said) -> list[_Question]:
    file, table, values = about.file, about.table, about.values
    found = []
    for field, what in (("timestamp", "a date and time"), ("value", "a number")):
        if field in about.columns:
            continue
        if field == "value":
            refuse_two_numbers(file, table)
        for column in table.columns if field == "timestamp" else ():
            refuse_mixed_dates(file, column, table.cells(column), said)
            cells = [str(cell) for cell in table.cells(column)]
            # A number without such a name may be anything.
            if is_called_a_time(column) or any(map(_LETTER.search, cells)):
                refuse_known_times(about.sample, table, column, cells)
        found.append(
            _Question(
                f"Which column has the {field}, {what}.",
                f"No column is known as the {field}, {what}. Name it:",
                _Answer({field: "COLUMN"}),
            )
        )
    if values:
        advice = cut_number_advice(file, table, values)
        if not advice and said.user is None and "user_id" not in about.columns:
            advice = wide_table_advice(about.sample, table, about.columns, values)
        fitting = {name: _other_profile(about, name) for name in values}
        shown = ", ".join(
            f"{name} (--profile {other})" if other else name for name, other in fitting.items()
        )
        first = values[0]
        if not units.are_alike(unit_in_name(first) or "", about.profile.unit):
            first = next((name for name in values if fitting[name]), first)
        profile = {"profile": fitting[first]} if fitting[first] and not said.profile else {}
        found.append(
            _Question(
                f"Which column has the value: it may be any of {shown}.{advice}",
                f"The value may be any of {shown}. Name one, for example:",
                _Answer({"value": first}, profile),
                after=advice,
            )
        )
    return found


def _other_profile(about: Asked, column: str) -> str:
    """A built-in profile for a column that the profile is not for; empty if there is none."""
    names = [without_unit(column)]
    unit = unit_in_name(column)
    if unit and units.are_alike(unit, about.profile.unit):
        return ""
    named = suggest.fitting(None, names) and suggest.fitting(unit, names)
    alike = any(units.are_alike(suggest.unit_of(name), about.profile.unit) for name in named)
    return "" if alike or not named else named[0]


def _user(about: Asked) -> _Question:
    columns = about.columns
    taken = ""
    if "timestamp" in columns and "value" in columns and not about.values:
        taken = (
            f"kalmap takes the timestamp from {joined(columns['timestamp'])} and the value from "
            f"{joined(columns['value'])}, but there is no column of users. "
        )
    near = user_candidates(about.table, columns)
    if near:
        name, texts = near[0]
        return _Question(
            f"Whose readings they are: --user NAME if they are one person's. {name} has "
            f"{listed(texts)}: if these are the users, user_id={name} in --columns.",
            f"{taken}If the file is one person's, name them:",
            _Answer(options={"user": "NAME"}),
            f"or, if {name} names them ({listed(texts)}):",
            _Answer({"user_id": name}),
        )
    return _Question(
        "Whose readings they are: --user NAME if they are one person's, else the users' column by "
        "user_id=COLUMN in --columns.",
        f"{taken}If the file is one person's, name them:",
        _Answer(options={"user": "NAME"}),
        "or name their column:",
        _Answer({"user_id": "COLUMN"}),
    )


def _times(about: Asked, said: Said) -> list[_Question]:
    names = about.columns["timestamp"]
    cells = time_cells(about.table, names, about.only)
    times = understand_times(cells)
    if times is None:
        # That these are no dates is said when the other questions are answered.
        return []
    found = []
    if said.dates is None:
        refuse_short_years(about.file, names, cells, said, times.dates)
        if about.dates is None and len(times.dates) > 1:
            found.append(_direction(names, times))
    if said.tz is None and times.local and times.clock:
        if isinstance(names, str) and (beside := column_of_offsets(about.table)):
            column, example = beside
            found.append(
                _Question(
                    f"Whether {names} is in UTC or a local time: --tz UTC, or --columns "
                    f"timestamp={names}+{column}.",
                    f"{names} has {times.example!r}, which has no offset from UTC, and {column} "
                    f"has {example!r}. If {names} is in UTC, as Samsung Health defines it:",
                    _Answer(options={"tz": "UTC"}),
                    "or, if it is the local time:",
                    _Answer({"timestamp": f"{names}+{column}"}),
                )
            )
            return found
        found.append(
            _Question(
                f"The time zone of the clock: {times.example!r} has no offset from UTC.",
                f"{joined(names)} has {times.example!r}, which has no offset from UTC. Name the "
                "time zone of its clock, for example:",
                _Answer(options={"tz": machine_time_zone()}),
            )
        )
    return found


def _direction(names: str | list[str], times: Times) -> _Question:
    first, second = times.dates[:2]
    return _Question(
        f"Whether the first number of {times.example!r} is the day or the month: --dates {first} "
        f"or {second}.",
        f"in {joined(names)}, such as {times.example!r}, the first number may be the day or the "
        "month. Say which:",
        _Answer(options={"dates": first}),
        "or:",
        _Answer(options={"dates": second}),
    )
