"""Users: columns that may name them under a name that kalmap does not know."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kalmap.records.dialects import listed
from kalmap_cli.own_files.field_columns import each_of
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.tables import Table

#: A user has at least so many rows on average.
_LEAST_ROWS = 2.0
_FILLED = 0.95
_LONGEST = 40
_SHOWN = 3
#: Columns that are never users, in lower case.
_OTHERS = {
    "device", "gerät", "meal", "mahlzeit", "type", "typ", "event type", "event", "status",
    "weekday", "wochentag", "day of week", "time zone", "timezone", "time_offset", "direction",
    "trend", "sex", "gender", "geschlecht", "symptoms", "arm", "position", "app", "app name",
    "model",
}  # fmt: skip


def user_candidates(table: Table, columns: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Columns of texts that come back, several of them; with some of the texts.

    Args:
        table: The table.
        columns: Those that are known already, by field.
    """
    taken = {name for names in columns.values() for name in each_of(names)}
    found = []
    for column in table.columns:
        if column in taken or column.strip().casefold() in _OTHERS:
            continue
        cells = [str(cell).strip() for cell in table.cells(column)]
        texts = list(dict.fromkeys(cells))
        if (
            len(cells) >= _FILLED * len(table.rows)
            and 1 < len(texts) <= len(cells) / _LEAST_ROWS
            and all(_is_a_name(text) for text in texts)
        ):
            found.append((column, texts[:_SHOWN]))
    return found


def _is_a_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST and any(mark.isalpha() for mark in text)


def tell_other_users(
    table: Table, columns: Mapping[str, Any], said: Said, file: Path
) -> str | None:
    """A sentence if all rows are one user's, and a column may name several; else None."""
    near = user_candidates(table, columns)
    if not near:
        return None
    name, texts = near[0]
    return (
        f"All rows are taken for {said.user}'s. {name} has {listed(texts)}. If these are users, "
        f"type: {said._replace(user=None).again(file, {'user_id': name})}"
    )
