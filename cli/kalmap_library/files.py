"""Readings from files, in the formats of a batch."""

import warnings
import zlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from kalmap.errors import InvalidInput, KalmapError
from kalmap.records.formats import HEAD_BYTES, Block, detect_format
from kalmap.records.gzipped import is_gzipped
from kalmap.records.measurement import Measurement, RecordError, measurement_of
from kalmap_cli.errors import WrongUsage
from kalmap_cli.input_files import inflate_file
from kalmap_library.table import Table


def read(file: str | PathLike[str]) -> Table:
    """Read a file that a batch could read: JSONL, or CSV with a header, gzipped or not.

    What cannot be read is left out, with a warning that names the first line.

    Args:
        file: Its path.

    Returns:
        A table that `fold` and `tune` take.

    Raises:
        InvalidInput: The file cannot be read, or has another format.
    """
    path = Path(file)
    try:
        data = path.read_bytes()
        if is_gzipped(data):
            data = b"".join(inflate_file(path))
        format_ = detect_format(str(path), data[:HEAD_BYTES])
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    except (KalmapError, WrongUsage, zlib.error, EOFError) as error:
        raise InvalidInput(str(error)) from None
    measurements, unread, line = [], [], format_.header_lines
    for block in format_.blocks([data[format_.records_start :]]):
        known = block.measurements()
        for measurement in _one_by_one(block) if known is None else known:
            if isinstance(measurement, Measurement):
                measurements.append(measurement)
            else:
                unread.append((line + measurement[0], measurement[1]))
        line += block.lines
    if unread:
        warnings.warn(
            f"{len(unread):,} of {len(unread) + len(measurements):,} records of {path} cannot be "
            f"read. The first is in line {unread[0][0]:,}: {unread[0][1]}",
            stacklevel=2,
        )
    return Table(
        {
            name: [getattr(measurement, name) for measurement in measurements]
            for name in Measurement.__struct_fields__
        }
    )


def _one_by_one(block: Block) -> Iterator[Measurement | tuple[int, str]]:
    """Measurements; where one cannot be read, its line in the block and what is wrong."""
    for line, raw in block.records():
        try:
            yield measurement_of(block.fields(raw))
        except RecordError as error:
            yield line, error.detail
