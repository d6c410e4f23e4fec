"""What the user says about their files, and the command that says more."""

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

from kalmap.records.mapping import FIELDS, Dates
from kalmap.records.time_zones import time_zone
from kalmap_cli.errors import WrongUsage
from kalmap_cli.inputs import typed

_EXAMPLE = 'timestamp=date,value="Weight (kg)"'


class Said(NamedTuple):
    """Options about the files of a command."""

    command: str = "run"
    columns: Mapping[str, str] = MappingProxyType({})
    user: str | None = None
    unit: str | None = None
    source: str | None = None
    tz: str | None = None
    dates: Dates | None = None
    decimal: str | None = None
    profile: str | None = None
    instead: str | None = None
    """What the command has in place of the files; None for the files themselves."""

    @property
    def anything(self) -> bool:
        """Whether the user has said anything about how files are read."""
        about = (self.columns, self.user, self.unit, self.source, self.tz, self.dates, self.decimal)
        return any(about)

    @property
    def about_tables(self) -> bool:
        """Whether all that the user has said is about what kalmap's own formats have."""
        return self.anything and not self.unit and not self.source

    def again(
        self,
        file: Path,
        columns: Mapping[str, str] = MappingProxyType({}),
        others: Sequence[Path] = (),
        **more: Any,
    ) -> str:
        """The command with more options, and with other files."""
        named = {**columns, **self.columns}
        text = ",".join(f"{name}={column}" for name, column in named.items())
        said = {name: value for name, value in self._asdict().items() if value is not None}
        options = said | {"columns": text or None} | more
        given = (
            f"--{name} {shlex.quote(value)}"
            for name, value in options.items()
            if value and name not in {"command", "instead"}
        )
        files = [self.instead] if self.instead else map(typed, (file, *others))
        return " ".join(("kalmap", self.command, *files, *given))


def read_said(command: str, arguments: argparse.Namespace) -> Said:
    """Read the options about files.

    Raises:
        WrongUsage: One of them is wrong.
    """
    return checked(
        Said(
            command, _columns(arguments.columns), arguments.user, arguments.unit, arguments.source,
            arguments.tz, arguments.dates, arguments.decimal, arguments.profile,
        )
    )  # fmt: skip


def checked(said: Said, mark: str = "--") -> Said:
    """What is said, if each part of it makes sense.

    Args:
        said: What the user says.
        mark: How the name of an option begins where it was given.

    Raises:
        WrongUsage: A part is wrong.
    """
    if said.tz is not None and time_zone(said.tz) is None:
        raise WrongUsage(
            f"{mark}tz is {said.tz!r}, which is no time zone. Write for example Europe/Berlin."
        )
    if said.dates is not None and said.dates not in get_args(Dates):
        raise WrongUsage(
            f"{mark}dates is {said.dates!r}; it must be one of {', '.join(get_args(Dates))}."
        )
    if said.decimal not in {None, ".", ","}:
        raise WrongUsage(f"{mark}decimal is {said.decimal!r}; it must be a point or a comma.")
    for name in ("user", "unit", "source"):
        text = getattr(said, name)
        if text is not None and not text.strip():
            raise WrongUsage(f"{mark}{name} is empty. Give it a text, or leave it out.")
    for field, column in said.columns.items():
        if field not in FIELDS or not column:
            raise WrongUsage(
                f"{mark}columns has {field!r} for the column {column!r}; the fields are "
                f"{', '.join(FIELDS)}, and each needs the name of a column."
            )
    return said


def _columns(text: str | None) -> dict[str, str]:
    """Columns by field. A column's name may have commas and equals signs in it."""
    columns: dict[str, str] = {}
    field = ""
    for part in (text or "").split(",") if text is not None else ():
        name, is_equal, column = part.partition("=")
        if is_equal and name.strip() in FIELDS:
            field = name.strip()
            if field in columns:
                raise WrongUsage(f"--columns has {field} twice. Give it once.")
            columns[field] = column
        elif field:
            columns[field] += f",{part}"
        else:
            raise WrongUsage(
                f"--columns has {part.strip()!r}; it needs FIELD=COLUMN with the fields "
                f"{', '.join(FIELDS)}. Write for example --columns {_EXAMPLE}."
            )
    for field, column in columns.items():
        columns[field] = column.strip().strip('"').strip()
        if not columns[field]:
            raise WrongUsage(f"--columns names no column for {field}. Write {field}=COLUMN.")
    return columns
