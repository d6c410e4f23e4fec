"""Delete old executions and logs, as AWS does, and empty folders. ministack never does."""

import contextlib
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

#: AWS keeps the history of an ended execution as long.
_EXECUTION_AGE = timedelta(days=90)
#: For log groups without a retention of their own.
_LOG_AGE = timedelta(days=30)
#: No object is being written into a folder that has been empty as long.
_EMPTY_AGE = timedelta(days=1)


def delete_old_history(stepfunctions: Any, cloudwatch_logs: Any, now: datetime) -> None:
    """Delete ended executions, their Map Runs, and logs that have reached their age.

    Args:
        stepfunctions: ministack's module of that name.
        cloudwatch_logs: ministack's module of that name.
        now: The time, aware.
    """
    for store in (stepfunctions._executions, stepfunctions._map_runs):  # noqa: SLF001
        for key, run in tuple(store._data.items()):  # noqa: SLF001
            ended = run.get("stopDate")
            if ended and now - datetime.fromisoformat(ended) > _EXECUTION_AGE:
                del store._data[key]  # noqa: SLF001
    for group in cloudwatch_logs._log_groups._data.values():  # noqa: SLF001
        days = group["retentionInDays"]
        oldest = now - (timedelta(days=days) if days else _LOG_AGE)
        for name, stream in tuple(group["streams"].items()):
            events = stream["events"]
            if events and events[-1]["timestamp"] < oldest.timestamp() * 1000:
                del group["streams"][name]


def delete_empty_folders(objects: Path, now: datetime) -> None:
    """Delete folders that deleted objects have left empty.

    Args:
        objects: Has a folder for each account, with one for each bucket, which stay.
        now: The time, aware.
    """
    oldest = now.timestamp() - _EMPTY_AGE.total_seconds()
    for bucket in objects.glob("*/*/"):
        below = [Path(parent) for parent, _, _ in os.walk(bucket)][1:]
        # Looked at before a folder below is deleted, which changes its time.
        old = [folder for folder in below if folder.stat().st_mtime < oldest]
        for folder in reversed(old):
            # One that is not empty cannot be deleted.
            with contextlib.suppress(OSError):
                folder.rmdir()
