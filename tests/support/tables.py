"""Tables of Arrow and Parquet as tests write and parse them."""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from kalmap.profile import builtin_profile
from kalmap.records.formats import HEAD_BYTES, detect_format
from kalmap.records.parse import File, parse_files
from kalmap.records.table_content import TableContent, naming

#: Columns of kalmap's own, with one row.
OWN = {
    "user_id": pa.array(["a"]),
    "timestamp": pa.array([0], pa.timestamp("s", "UTC")),
    "value": pa.array([80.0]),
}
PROFILE = builtin_profile("body-weight")


def parquet(table, **options):
    """A table as the bytes of a Parquet file."""
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def arrow(table, *, stream=False):
    """A table as the bytes of an Arrow file, or stream."""
    file = io.BytesIO()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


def detect(data, mapping=None, name="t.parquet"):
    """The format of a content."""
    content = TableContent(lambda start, end: data[start:end], len(data))
    return detect_format(name, data[:HEAD_BYTES], mapping, content)


def parse_table(data, mapping=None, step=None, profile=PROFILE):
    """What is parsed of a content, read as one range or in several."""
    format_ = detect(data, mapping)
    ranges = format_.split(len(data), step or 1 << 62)
    files = [
        File(format_.planned().read_range(start, end, len(data), lambda a, b: data[a:b]), format_)
        for start, end in ranges
    ]
    with naming("t.parquet"):
        return parse_files(files, profile)
