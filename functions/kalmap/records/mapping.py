"""A mapping: how a file that is not in kalmap's own form is read, complete and explicit.

Nothing about such a file is guessed where it is read. So the same file and the same mapping always
give the same readings, and a mapping is part of its batch's identity.
"""

import re
from typing import Literal

import msgspec

from kalmap.errors import InvalidInput
from kalmap.records.measurement import MAX_ID_BYTES, OPTIONAL_FIELDS, REQUIRED_FIELDS
from kalmap.records.time_zones import time_zone

FIELDS = REQUIRED_FIELDS + OPTIONAL_FIELDS
#: A mapping is stored with each chunk.
MAX_MAPPING_BYTES = 4096
MAX_SKIP = 100
_MAX_TEXT = 128
_HELP = (
    'Give for example {"columns": {"timestamp": "Date", "value": "Weight (kg)"}, "user": "anna"}; '
    "docs/files.md has all fields."
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Layout = Literal["csv", "jsonl", "xml"]
Encoding = Literal["utf-8", "utf-16-le", "utf-16-be", "latin-1"]
Dates = Literal[
    "iso", "day_first", "month_first", "unix_seconds", "unix_milliseconds", "unix_microseconds",
    "unix_nanoseconds",
]  # fmt: skip


class Mapping(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """How the records of a file are read."""

    columns: dict[str, str | list[str]]
    """The column of each field. A timestamp's columns are joined by a space; of several columns of
    another field, the first that is not empty counts."""
    user: str | None = None
    """The user of all records without a user's column."""
    unit: str | None = None
    """The unit of all values without one of their own."""
    source: str | None = None
    """The source of all records without a source's column."""
    layout: Layout = "csv"
    """Rows of cells, one JSON object a line, or one XML element with attributes a line."""
    encoding: Encoding = "utf-8"
    """`latin-1` is Windows-1252, as in browsers."""
    delimiter: Literal[",", ";", "\t", "|"] = ","
    skip: int = 0
    """Lines before the header, or before the records if there is none."""
    header: bool = True
    """Whether a line has the columns' names. Without one, their names are numbers from 1."""
    ends_with_delimiter: bool = False
    """Whether each row ends with a delimiter that the header does not have."""
    decimal: Literal[".", ","] = "."
    dates: Dates = "iso"
    """How timestamps are written. With `iso`, the year comes first."""
    tz: str | None = None
    """The time zone of timestamps without an offset from UTC."""
    only: dict[str, list[str]] = {}
    """Rows are records only if these columns have one of these texts."""
    skip_empty: bool = False
    """Whether rows without a value are no records. Otherwise they are unreadable."""
    empty: list[str] = []
    """Texts in place of a value, such as N/A, which mean that there is none."""

    def names_of(self, field: str) -> list[str]:
        """The columns of a field; none if it has none."""
        names = self.columns.get(field, [])
        return [names] if isinstance(names, str) else names


def check_mapping(mapping: Mapping) -> None:
    """Check what the type does not say.

    Raises:
        InvalidInput: A field is wrong; the sentence names it.
    """

    def wrong(field: str, sentence: str) -> InvalidInput:
        name = f"source.mapping.{field}" if field else "source.mapping"
        return InvalidInput(f"{name} {sentence} {_HELP}", name)

    if len(canonical(mapping)) > MAX_MAPPING_BYTES:
        raise wrong("", f"has more than {MAX_MAPPING_BYTES:,} bytes.")
    for field, names in mapping.columns.items():
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            raise wrong("columns", f"has {field[:40]!r}; a record's fields are {known}.")
        if not names or not all(mapping.names_of(field)):
            raise wrong("columns", f"names no column for {field}.")
    for field in ("timestamp", "value"):
        if field not in mapping.columns:
            raise wrong("columns", f"lacks {field}.")
    if ("user_id" in mapping.columns) == (mapping.user is not None):
        raise wrong("", "needs either a column of user ids (columns.user_id) or one user (user).")
    for field in ("user", "unit", "source"):
        text = getattr(mapping, field)
        if text is not None and (
            not text.strip() or len(text.encode(errors="replace")) > _MAX_TEXT
        ):
            raise wrong(field, f"must have 1 to {_MAX_TEXT} bytes.")
        if text is not None and not text.isprintable():
            raise wrong(field, "holds a control character.")
    if not 0 <= mapping.skip <= MAX_SKIP:
        raise wrong("skip", f"must be from 0 to {MAX_SKIP}.")
    if mapping.tz is not None and time_zone(mapping.tz) is None:
        raise wrong(
            "tz", f"is {mapping.tz[:40]!r}, which is no time zone. Write for example Europe/Berlin."
        )


def canonical(mapping: Mapping) -> bytes:
    """The mapping's one form, for identities. New optional fields do not change it."""
    return msgspec.json.encode(mapping, order="sorted")


def as_text(value: object) -> str:
    """A found text for a sentence: on one line, and short."""
    text = _CONTROL.sub(" ", str(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


assert MAX_ID_BYTES == _MAX_TEXT
