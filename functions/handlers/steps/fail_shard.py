"""RecordChunkFailure and RecordShardFailure: the last step of a Map's child that gave up."""

import msgspec

from handlers.edge import Task, bucket, step, store
from kalmap.batch.chunks import Chunk
from kalmap.pipeline.complete_batch import sentence_of
from kalmap.pipeline.fail_shard import fail_shard, fail_write
from kalmap.pipeline.partition_measurements import fail_chunk
from kalmap.results.report import Report


@step("fail_shard")
def handler(task: Task) -> Report:
    """Record what a chunk or shard failed of, and give its readings `failed` results."""
    _, sentence = sentence_of(task.event["error"])
    failed_step = task.event["step"]
    if failed_step == "partition":
        chunk = msgspec.convert(task.event["chunk"], Chunk)
        partitioned = fail_chunk(task.folder, chunk, bucket, sentence)
        return Report(
            step="partition", shard=chunk.chunk, records=partitioned.records, error=sentence
        )
    if failed_step == "write":
        return fail_write(
            task.folder, store(), task.round, task.shard, sentence, bucket, task.deadline
        )
    if failed_step == "load":
        shard = task.shard.shard
        task.folder.save_report(Report(step="load", round=task.round, shard=shard, error=sentence))
    return fail_shard(task.folder, task.round, task.shard, sentence, bucket)
