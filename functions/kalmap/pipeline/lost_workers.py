"""Lost workers: what they left undone is recorded by the step behind them.

Few batches lose one. Only then are readings read again, which takes numpy and the formats.
"""

from kalmap.batch.folder import Folder, Shard
from kalmap.results.report import Report

_WORKER_LOST = "The shard's worker was lost and left no report."


def record_lost_filter(folder: Folder, round_: int, shard: Shard) -> Report:
    """Record a shard that was not loaded or filtered: all its readings are `failed`."""
    from kalmap.pipeline.failed_readings import fail_shard  # noqa: PLC0415 - see above

    report = fail_shard(folder, round_, shard, _WORKER_LOST)
    folder.save_report(report)
    return report


def record_lost_write(folder: Folder, round_: int, shard: Shard) -> Report:
    """Record a shard whose writes left no report."""
    from kalmap.pipeline.failed_readings import fail_write  # noqa: PLC0415 - see above

    report = fail_write(folder, None, round_, shard, _WORKER_LOST)
    folder.save_report(report)
    return report
