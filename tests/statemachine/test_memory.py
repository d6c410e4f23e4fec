"""The largest gzipped object that is taken fits into the memory of the worker that reads it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from kalmap.batch.chunks import MAX_GZIP_LINES
from kalmap.records.measurement import MAX_UNREADABLE
from kalmap_cli.local.deploy import read_template
from tests.support.large_chunk import memory_mb
from tests.support.template import TEMPLATE

RESOURCES = read_template(TEMPLATE)["Resources"]
#: What Lambda's own runtime needs beside the function.
_RUNTIME_MB = 100


@pytest.mark.parametrize(
    ("step", "function", "most"),
    [
        ("partition", "PartitionFunction", MAX_GZIP_LINES),
        ("fail", "FailShardFunction", MAX_UNREADABLE),
    ],
)
def test_the_most_lines_that_are_taken_fit_into_the_workers_memory(step, function, most):
    few, many = 40_000, 140_000
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda lines: memory_mb(step, lines), (few, many))
    # Memory grows with the lines, straight on; large_chunk.py tries it with all of them.
    per_line = (second - first) / (many - few)
    needed = first + per_line * (most - few)
    assert needed + _RUNTIME_MB < RESOURCES[function]["Properties"]["MemorySize"]
