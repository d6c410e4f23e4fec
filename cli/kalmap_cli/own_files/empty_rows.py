"""Empty rows: those without a value, which are skipped, are counted and told."""

import msgspec

from kalmap.plural import counted
from kalmap.records.format_mapped import Mapped
from kalmap.records.table_format import TableFormat
from kalmap_cli.own_files.samples import Sample


def tell_empty_rows(sample: Sample, format_: Mapped | TableFormat) -> str | None:
    """A sentence about the rows without a value that are skipped; None if there are none."""
    mapping = format_.mapping
    if mapping is None or not mapping.skip_empty:
        return None
    every = msgspec.structs.replace(
        format_, mapping=msgspec.structs.replace(mapping, skip_empty=False)
    )
    rows = _count(sample, every)
    empty = rows - _count(sample, format_)
    if not empty:
        return None
    where = "" if sample.is_whole(format_) else "In the sample, "
    value = " and ".join(mapping.names_of("value"))
    are = "has" if empty == 1 else "have"
    texts = f" (or {', '.join(map(repr, mapping.empty))})" if mapping.empty else ""
    return f"{where}{empty:,} of {counted(rows, 'row')} {are} no value in {value}{texts}: not read."


def _count(sample: Sample, format_: Mapped | TableFormat) -> int:
    return sum(
        1
        for file in sample.files(format_)
        for block in format_.blocks(file.parts)
        for _ in block.records()
    )
