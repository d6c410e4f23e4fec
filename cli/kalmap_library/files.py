"""Readings from files, in the formats of a batch."""

import warnings
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType

import msgspec

from kalmap.errors import InvalidInput, KalmapError
from kalmap.profile import DEFAULT_PROFILE
from kalmap.records.coded import CodedReadings
from kalmap.records.conversion import coded
from kalmap.records.formats import Block
from kalmap.records.mapping import Dates
from kalmap.records.measurement import Measurement
from kalmap_cli.errors import WrongUsage
from kalmap_cli.input_files import measurements_of, records_of, understand_file
from kalmap_cli.inputs import as_input
from kalmap_cli.own_files.said import Said
from kalmap_cli.own_files.said import checked as check_said
from kalmap_library.coded import CodedTable
from kalmap_library.profiles import AnyProfile, load_profile
from kalmap_library.table import Table


def read(
    file: str | PathLike[str],
    profile: AnyProfile = DEFAULT_PROFILE,
    *,
    columns: Mapping[str, str] = MappingProxyType({}),
    user: str | None = None,
    unit: str | None = None,
    source: str | None = None,
    tz: str | None = None,
    dates: Dates | None = None,
    decimal: str | None = None,
) -> Table:
    """Read a file that a batch could read, also an export of another program.

    What cannot be read is left out, with a warning that names the first line.

    Args:
        file: Its path.
        profile: The one for its readings. Its unit helps to understand exports.
        columns: Columns of fields, such as `{"timestamp": "Date", "value": "Weight (kg)"}`. This
            and what follows say what the file does not show, as the options of `kalmap run` do.
        user: The user of all records.
        unit: The unit of values that have none.
        source: The source of records that have none.
        tz: The time zone of times without an offset, such as `Europe/Berlin`.
        dates: How dates are written: `iso`, `day_first`, `month_first`, `unix_seconds` or
            `unix_milliseconds` or the like.
        decimal: The decimal mark of values, where `1,234` may be either.

    Returns:
        A table that `fold` and `tune` take. Its times are numpy's, in UTC.

    Raises:
        InvalidInput: The file cannot be read, how it is meant is not certain, or an argument is
            wrong.
    """
    path, checked = Path(file), load_profile(profile)
    try:
        said = check_said(Said("run", columns, user, unit, source, tz, dates, decimal), mark="")
        content = msgspec.to_builtins(checked)
        format_ = understand_file(as_input(path), said, content).format
        parts = list(records_of(as_input(path), format_))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from None
    except (KalmapError, WrongUsage) as error:
        raise InvalidInput(str(error)) from None
    found, unread, line = [coded([])], [], format_.header_lines
    for block in format_.blocks(parts):
        if (plain := _plain(block)) is not None:
            found.append(plain)
        else:
            measurements = []
            for measurement in measurements_of(block):
                if isinstance(measurement, Measurement):
                    measurements.append(measurement)
                else:
                    unread.append((line + measurement[0], measurement[1]))
            found.append(coded(measurements))
        line += block.lines
    table = CodedTable(found)
    if unread:
        warnings.warn(
            f"{len(unread):,} of {len(unread) + table.rows:,} records of {path} cannot be "
            f"read. The first is in line {unread[0][0]:,}: {unread[0][1]}",
            stacklevel=2,
        )
    return table


def _plain(block: Block) -> CodedReadings | None:
    """The readings of a table's block; None if there are none, or not all records are readings."""
    try:
        plain = block.columns()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  reading one by one finds the record that raises it
        return None
    return plain.readings if plain and len(plain.rows) == len(plain.lines()) else None
