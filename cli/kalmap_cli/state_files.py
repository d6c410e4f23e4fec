"""Stored states in files for people and programs. All formats have the same columns."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, get_args, get_type_hints

import msgspec

from kalmap.records.arrow_library import import_arrow, import_parquet
from kalmap_cli.state_table import ShownState

_WHAT = "States are written as Parquet"
#: Columns whose texts repeat.
_CODED = ("profile", "unit")


def write_jsonl(states: Sequence[ShownState], file: BinaryIO) -> None:
    """Write states as JSON lines."""
    file.write(msgspec.json.Encoder().encode_lines(states))


def write_csv(states: Sequence[ShownState], file: BinaryIO) -> None:
    """Write states as CSV with a header. A null is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ShownState.__struct_fields__)
    writer.writerows(map(msgspec.structs.astuple, states))
    file.write(text.getvalue().encode())


def write_parquet(states: Sequence[ShownState], file: BinaryIO) -> None:
    """Write states as Parquet. `as_of` is a timestamp in UTC."""
    arrow, parquet = import_arrow(_WHAT), import_parquet(_WHAT)
    columns = {
        name: arrow.array([getattr(state, name) for state in states], _type(arrow, hint))
        for name, hint in get_type_hints(ShownState).items()
    }
    times = arrow.array([state.as_of for state in states], arrow.string())
    columns["as_of"] = times.cast(arrow.timestamp("us", tz="UTC"))
    parquet.write_table(
        arrow.table(columns), file, compression="zstd", use_dictionary=list(_CODED),
        write_page_checksum=True, store_schema=False,
    )  # fmt: skip


def _type(arrow: Any, hint: Any) -> Any:
    types = {int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
    return next(types[part] for part in get_args(hint) or (hint,) if part in types)


#: What writes states in each format; the option --format of `kalmap states` names one.
WRITERS: dict[str, Callable[[Sequence[ShownState], BinaryIO], None]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}
