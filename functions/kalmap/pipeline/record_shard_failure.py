"""RecordShardFailure: the last state of a Map's child whose function failed in every attempt.

The state machine has one such state in each Map, such as RecordLoadShardFailure.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kalmap.batch.chunks import Chunk
from kalmap.batch.folder import Folder, Shard
from kalmap.pipeline.caught_error import describe_error
from kalmap.pipeline.chunk_partition import fail_chunk
from kalmap.pipeline.failed_readings import fail_shard, fail_write
from kalmap.results.report import Report
from kalmap.store.objects import OpenBucket
from kalmap.store.ports import StateStore


def record_shard_failure(
    folder: Folder,
    event: Mapping[str, Any],
    *,
    round_: int,
    bucket: OpenBucket,
    open_store: Callable[[], StateStore],
    deadline: float,
) -> Report:
    """Record why a chunk or shard failed, and give its readings `failed` results.

    Args:
        folder: The batch's folder.
        event: The failed `step`, its `chunk` or `shard`, and the `error` that was caught.
        round_: The conflict round, from 0.
        bucket: Opens the input's buckets.
        open_store: Opens the table of states, to look up what a failed write has written.
        deadline: When to stop, on the monotonic clock.
    """
    _, sentence = describe_error(event["error"])
    failed_step = event["step"]
    if failed_step == "partition":
        chunk = msgspec.convert(event["chunk"], Chunk)
        partitioned = fail_chunk(folder, chunk, bucket, sentence)
        return Report(
            step="partition", number=chunk.number, records=partitioned.records, error=sentence
        )
    shard = msgspec.convert(event["shard"], Shard)
    if failed_step == "write":
        return fail_write(
            folder, open_store(), round_, shard, sentence, bucket=bucket, deadline=deadline
        )
    if failed_step == "load":
        report = Report(step="load", round=round_, number=shard.number, error=sentence)
        folder.save_report(report)
    return fail_shard(folder, round_, shard, sentence, bucket)
