"""A worker in its own process, like those of Lambda: it reads one gzipped object of many lines.

    python -m tests.support.large_chunk partition|fail LINES [MEGABYTES]

starts one on a local cloud, and prints how much memory it held at most. With MEGABYTES it may have
no more address space, as a Lambda has no more memory.
"""

import gzip
import importlib
import io
import json
import os
import resource
import subprocess
import sys
import uuid
from types import SimpleNamespace
from typing import Any

import boto3
import msgspec

from kalmap.batch.chunks import Chunk, SourceObject
from kalmap.batch.folder import Folder, Plan
from kalmap.batch.identity import Batch, Limits, Pointer
from kalmap.batch.partitions import Partitions
from kalmap.profile import builtin_profile
from kalmap.records.format_csv import Csv
from kalmap.store.objects import Objects
from tests.support.dynamodb import endpoint
from tests.support.template import ROOT

_AT_ONCE = 10_000
_HANDLERS = {
    "partition": "kalmap_handlers.steps.partition_measurements",
    "fail": "kalmap_handlers.steps.record_shard_failure",
}


def memory_mb(step: str, lines: int, limit: str = "") -> float:
    """The peak memory of a worker that read so many lines, or recorded their failure."""
    bucket = f"work-{uuid.uuid4().hex[:12]}"
    settings = {
        "AWS_ENDPOINT_URL": endpoint(),
        "WORK_BUCKET": bucket,
    }
    event, folder = _prepare(bucket, lines)
    worker = [sys.executable, "-m", "tests.support.large_chunk", "worker", step, event, limit]
    subprocess.run(
        worker, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=os.environ | settings
    )
    report = folder.report(0, "partition", 0)
    assert report
    assert report.records == lines
    return report.memory_mb


def _prepare(bucket: str, lines: int) -> tuple[str, Folder]:
    """Put an object and its batch's folder; returns a worker's event."""
    s3 = boto3.client("s3", endpoint_url=endpoint())
    s3.create_bucket(Bucket=bucket)
    body = _gzipped(lines)
    etag = s3.put_object(Bucket=bucket, Key="in.csv.gz", Body=body)["ETag"]
    pointer = Pointer("b", "a", bucket, "batches/b/a", "body-weight", "conditional", "")
    folder = Folder.of(Objects(s3, bucket), pointer)
    profile = builtin_profile("body-weight")
    folder.save_batch(Batch("b", "a", profile, "conditional", Limits(), False, 0, ""), [])
    columns = ["user_id", "timestamp", "value", "measurement_id"]
    source = SourceObject(
        bucket, "in.csv.gz", len(body), etag, format=Csv(columns=columns), gzipped=True
    )
    chunk = Chunk(0, source, 0, len(body))
    Partitions(folder).save_plan(Plan(1, 100, [["in.csv.gz"]]), [chunk])
    event = {
        "batch": msgspec.to_builtins(pointer),
        "chunk": msgspec.to_builtins(chunk),
        "step": "partition",
        "error": {"Error": "InvalidInput", "Cause": "It could not be read. " * 10},
    }
    return json.dumps(event), folder


def _gzipped(lines: int) -> bytes:
    """A gzipped CSV without its header. Each line has its own ids, which takes the most memory."""
    body = io.BytesIO()
    with gzip.open(body, "wb", 1) as file:
        for first in range(0, lines, _AT_ONCE):
            rows = [
                f"user-{n},2026-03-{n % 28 + 1:02d}T07:{n % 60:02d}:00Z,{80 + n % 10},m-{n}\n"
                for n in range(first, min(lines, first + _AT_ONCE))
            ]
            file.write("".join(rows).encode())
    return body.getvalue()


def _work(step: str, event: dict[str, Any], limit: str) -> None:
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (int(limit) << 20,) * 2)
    context = SimpleNamespace(
        function_name="f",
        memory_limit_in_mb=0,
        invoked_function_arn="f",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: 300_000,
    )
    importlib.import_module(_HANDLERS[step]).handler(event, context)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        _work(sys.argv[2], json.loads(sys.argv[3]), sys.argv[4])
    else:
        importlib.import_module("tests.conftest")  # the secret of the local cloud
        peak_mb = memory_mb(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
        sys.stdout.write(f"{peak_mb:.0f} MB\n")
