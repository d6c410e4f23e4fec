"""Write result lines in the format that the user names. All formats have the same columns."""

import csv
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from kalmap.results.lines import Result
from kalmap.results.table import write_table
from kalmap_cli.errors import WrongUsage
from kalmap_cli.output_files import is_stdout

#: The name of the file of results, without its ending.
RESULTS = "results"


class _Text(NamedTuple):
    """A file of bytes as one of text."""

    file: BinaryIO

    def write(self, text: str) -> int:
        """Write a text as UTF-8."""
        return self.file.write(text.encode())


def write_jsonl(lines: Iterable[bytes], file: BinaryIO) -> int:
    """Write lines of JSON as they are; returns how many."""
    count = 0
    for line in lines:
        file.write(line.rstrip(b"\n") + b"\n")
        count += 1
    return count


def write_csv(lines: Iterable[bytes], file: BinaryIO) -> int:
    """Write result lines as CSV with a header; returns how many. A null is an empty cell."""
    decode = msgspec.json.Decoder(Result).decode
    writer = csv.writer(_Text(file), lineterminator="\n")
    writer.writerow(Result.__struct_fields__)
    count = 0
    for line in lines:
        *others, restarted = msgspec.structs.astuple(decode(line))
        writer.writerow((*others, "true" if restarted else "false"))
        count += 1
    return count


#: What writes result lines in each format; the command line's option --format names one.
WRITERS: dict[str, Callable[[Iterable[bytes], BinaryIO], int]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_table,
}


def check_format(format_: str, out: Path | None = None) -> None:
    """Refuse a format that cannot be written, before anything is started.

    Args:
        format_: The format.
        out: Where a single file goes, if one is written.

    Raises:
        WrongUsage: Its library is not installed, or it is no text and would go to a terminal.
    """
    if format_ != "parquet":
        return
    if out is not None and is_stdout(out) and sys.stdout.isatty():
        raise WrongUsage("Parquet is not for a terminal. Name a file or a directory with --out.")
    if importlib.util.find_spec("pyarrow") is None:
        raise WrongUsage(
            "--format parquet needs pyarrow, which is not installed: "
            '`pip install "kalmap[parquet]"` installs it; in a checkout: '
            ".venv/bin/pip install pyarrow"
        )


def write_lines(path: Path, lines: Iterable[bytes], format_: str = "jsonl") -> int:
    """Write lines into a new file; returns how many."""
    with path.open("wb") as file:
        return WRITERS[format_](lines, file)
