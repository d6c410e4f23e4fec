"""Tables of Arrow and Parquet: their columns and some of their rows, for understanding them."""

from collections import Counter

from kalmap.errors import UnknownFormat
from kalmap.records.formats import table_class
from kalmap.records.mapping import as_text
from kalmap.records.table_cells import json_cells
from kalmap.records.table_content import naming, refuse_unsound
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
        schema = form.schema(content)
        kinds = {field.name: kind_of(field.type) for field in schema}
        unread = {
            name: f"{count} columns of this name" if count > 1 else as_text(schema.field(name).type)
            for name, count in Counter(schema.names).items()
            if count > 1 or kinds[name] in {"nested", "other"}
        }
        columns = [name for name in kinds if name not in unread]
        batch = form.peek(content, _ROWS, columns)
        if batch is None or not batch.num_rows:
            raise UnknownFormat(f"{sample.file} is {form.title} without rows.")
        refuse_unsound(batch)
        cells = [json_cells(batch.column(name), kinds[name]) for name in columns]
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Table("jsonl", "utf-8", columns, rows, title=form.title, unread=unread)
