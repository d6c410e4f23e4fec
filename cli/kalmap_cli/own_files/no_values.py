"""No values: cells of a column of numbers that say that there is none."""

from collections.abc import Sequence
from typing import Any

from kalmap_cli.own_files.field_columns import each_of
from kalmap_cli.own_files.tables import Table

#: Texts that programs and people write where there is no value, in lower case.
_NO_VALUE = {
    "n/a", "na", "#n/a", "n.a.", "n/d", "nd", "n.d.", "k.a.", "-", "--", "---", "\u2013", "\u2014",
    "null", "none", "nan", "nil", "missing", "?", ".", "b.d.", "s/d", "\\n",
}  # fmt: skip


def no_value_texts(cells: Sequence[Any]) -> list[str]:
    """The texts among cells that say that there is no value."""
    texts = dict.fromkeys(cell.strip() for cell in cells if isinstance(cell, str))
    return sorted(text for text in texts if text.casefold() in _NO_VALUE)


def has_rows_without_a_value(table: Table, names: str | list[str], empty: Sequence[str]) -> bool:
    """Whether rows have no value: an empty cell, or a text that says so."""
    places = [table.columns.index(n) for n in each_of(names)]
    nothing = {None, "", *empty}
    return any(all(_text(row[place]) in nothing for place in places) for row in table.rows)


def _text(cell: Any) -> Any:
    return cell.strip() if isinstance(cell, str) else None if cell is None else 0
