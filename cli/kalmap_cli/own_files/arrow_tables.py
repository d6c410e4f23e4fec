"""Tables of Arrow and Parquet: their columns and some of their rows, for understanding them."""

from kalmap.errors import UnknownFormat
from kalmap.records.formats import table_class
from kalmap.records.table_cells import json_cells
from kalmap.records.table_content import naming
from kalmap.records.table_layout import kind_of
from kalmap_cli.own_files.samples import Sample
from kalmap_cli.own_files.tables import Table

_ROWS = 500


def read_arrow_table(sample: Sample) -> Table | None:
    """Read a table of Arrow or Parquet; None if the file is none.

    Raises:
        InvalidInput: It is broken, or no library for it is installed.
        UnknownFormat: It has no rows.
    """
    form, content = table_class(sample.head), sample.as_table()
    if form is None or content is None:
        return None
    with naming(str(sample.file)), content.reading():
        batch = form.peek(content, _ROWS)
        if batch is None or not batch.num_rows:
            raise UnknownFormat(f"{sample.file} is {form.title} without rows.")
        kinds = {field.name: kind_of(field.type) for field in batch.schema}
        columns = [name for name, kind in kinds.items() if kind != "other"]
        cells = [json_cells(batch.column(name), kinds[name]) for name in columns]
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Table("jsonl", "utf-8", columns, rows, title=form.title)
